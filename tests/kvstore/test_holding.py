"""When the blocks of a running request are stored."""
from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kvstore.engine.holding import held_back, waits


@dataclass
class Request:
    num_computed_tokens: int
    num_tokens: int
    num_prompt_tokens: int


@dataclass
class Group:
    offered: int = 0


@dataclass
class Record:
    req: Request
    group_states: tuple[Group, ...] = field(default_factory=lambda: (Group(),))


@pytest.mark.parametrize(("computed", "offered", "expected"), [
    (48, 0, False),   # of a prompt that is computed in parts
    (100, 3, False),  # the prompt's end
    (101, 6, True),
    (159, 6, True),   # three blocks
    (160, 6, False),  # four
    (500, 0, False),  # what the tier lost is offered again
])
def test_what_a_prompt_fills_is_stored_at_once_and_then_four_blocks_at_a_time(
    computed: int, offered: int, expected: bool
) -> None:
    assert waits(computed=computed, prompt=100, offered=offered, block=16, together=4) is expected


def test_at_no_step_more_than_three_full_blocks_are_missing() -> None:
    offered = 6
    for computed in range(101, 1_000):
        if not waits(computed=computed, prompt=100, offered=offered, block=16, together=4):
            offered = computed // 16
        assert computed // 16 - offered <= 3


def test_held_requests_offer_nothing_and_go_on_where_they_were() -> None:
    """vLLM moves a request's progress to what is computed even where it offers nothing."""
    held, ready = Record(Request(120, 121, 100), (Group(6),)), Record(Request(160, 161, 100), (Group(6),))
    with held_back({"a": held, "b": ready}, {"a": 1, "b": 1, "unknown": 1}, "offered", 16, 4):
        assert held.group_states[0].offered > 1_000_000
        assert ready.group_states[0].offered == 6
        held.group_states[0].offered = 7
        ready.group_states[0].offered = 10
    assert (held.group_states[0].offered, ready.group_states[0].offered) == (6, 10)


def test_a_token_that_is_not_sampled_yet_counts_for_nothing() -> None:
    record = Record(Request(160, 159, 100), (Group(6),))
    with held_back({"a": record}, {"a": 1}, "offered", 16, 4):
        assert record.group_states[0].offered > 1_000_000
