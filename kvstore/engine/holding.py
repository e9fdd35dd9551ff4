"""When a running request's new blocks are stored: several at once.

Storing costs the engine about the same for one block as for many: a question to the pool, a job, a launch. A request
that decodes fills a block every few steps, so its blocks wait until they are enough. What a prompt fills is stored at
once, and what a finished request left over where the engine still offers it.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_NEVER = 1 << 40
"""More blocks than a request has: an engine that was offered so many offers no more."""


def waits(*, computed: int, prompt: int, offered: int, block: int, together: int) -> bool:
    """Whether full blocks are still too few to be stored.

    `computed` and `prompt` are tokens of a request, after the step that is planned; `offered` blocks were offered to
    the tier before; a block has `block` tokens, and `together` blocks are stored at once.
    """
    return computed > prompt and computed // block - offered < together


@contextmanager
def held_back(
    requests: Mapping[str, Any], scheduled: Mapping[str, int], progress: str, block: int, together: int
) -> Iterator[None]:
    """While vLLM plans a step's stores, those requests whose blocks wait look as if all were offered.

    `requests` are vLLM's own records of them, `scheduled` the tokens each computes in this step, `progress` the field
    of a record's group that counts blocks offered.
    """
    held: list[tuple[Any, int]] = []
    for name, tokens in scheduled.items():
        if (record := requests.get(name)) is None:
            continue
        request, (group,) = record.req, record.group_states
        offered = getattr(group, progress)
        computed = min(request.num_computed_tokens + tokens, request.num_tokens)
        if waits(
            computed=computed, prompt=request.num_prompt_tokens, offered=offered, block=block, together=together
        ):
            held.append((group, offered))
            setattr(group, progress, _NEVER)
    try:
        yield
    finally:
        for group, offered in held:
            setattr(group, progress, offered)
