"""From deltas to forks: order, gaps, resumption, positions."""
from __future__ import annotations

import random

import msgspec
import pytest

from tests.trigger.facts import deltas
from trigger.effects import Fork
from trigger.reader import Reader
from trigger.settings import TriggerSettings
from trigger.stream import Arrival, Stream

PYTHON = "def scale(x):\n    return 2 * x\n"
CPP = "void add(const float* a, float* b, int n) {\n  for (int i = 0; i < n; ++i) { b[i] += a[i]; }\n}\n"
FENCED = f"```cpp\n{CPP}```\n"
RANDOM = random.Random(1)
PROSE = " ".join("".join(RANDOM.choices("abcdefghijklmnoprstuvw", k=RANDOM.randint(2, 9))) for _ in range(130)) + "\n"
"""Words that say nothing; a text that repeated itself would be taken for a loop."""
SETTINGS = TriggerSettings()


def read(text: str, size: int = 4, **settings: int) -> list[Fork]:
    reader = Reader(TriggerSettings(**settings))
    return [fork for delta in deltas(text, size=size) for fork in reader.read(delta)[1]]


def test_a_function_in_prose_is_forked_at_its_last_brace() -> None:
    text = PROSE + CPP + "Now the wrapper."
    [fork] = read(text)
    assert (fork.reason, fork.at_char) == ("function_completed", len(PROSE + CPP) - 1)


def test_a_python_function_is_complete_when_the_text_dedents() -> None:
    [fork] = read(PROSE + PYTHON + "\nThat should do.\n")
    assert (fork.reason, fork.at_char) == ("function_completed", len(PROSE + PYTHON) - 1)


def test_a_fence_that_closes() -> None:
    text = PROSE + "```cpp\nfloat bias = 0.5f;\n```\n"
    [fork] = read(text)
    assert (fork.reason, fork.at_char) == ("fence_closed", len(text) - 1)


def test_control_flow_is_no_function() -> None:
    assert read(PROSE + "for (int i = 0; i < n; ++i) { b[i] = 0; }\nif (n > 3) { return; }\nDone {see above}.\n") == []


def test_gap_and_limit() -> None:
    near, far = CPP * 3, "".join(CPP + PROSE[i : i + 700] + "\n" for i in range(10))
    assert len(read(near)) == 1
    assert len(read(far)) == SETTINGS.forks_per_iteration
    assert [f.k for f in read(far, forks_per_trigger=4, forks_per_iteration=6)] == [4, 2]


@pytest.mark.parametrize("size", [1, 3, 7, 50, 5000])
def test_same_forks_whatever_the_pieces(size: int) -> None:
    text = (FENCED + PROSE + PYTHON + "\n" + PROSE) * 3
    assert read(text, size=size) == read(text, size=4)


def test_repeated_deltas_change_nothing() -> None:
    reader, forks = Reader(SETTINGS), []
    for delta in deltas(PROSE + CPP):
        forks += reader.read(delta)[1]
        assert reader.read(delta) == (Arrival.REPEATED, [])
    assert len(forks) == 1


def test_a_gap_takes_nothing_in() -> None:
    reader = Reader(SETTINGS)
    first, _, third, *_ = deltas(PROSE)
    assert reader.read(first)[0] is Arrival.NEXT
    assert reader.read(third) == (Arrival.GAP, [])
    assert len(reader.stream.deltas) == 1


def test_a_resumed_generation_is_read_again_without_asking_twice() -> None:
    reader = Reader(SETTINGS)
    old = deltas(PROSE + CPP + PROSE + "void lost(int n) { n = 1; }\n")
    forks = [fork for delta in old for fork in reader.read(delta)[1]]
    cut = len(PROSE + CPP) // 4 + 3
    kept = (PROSE + CPP + PROSE)[: cut * 4] + PROSE + PROSE + "void kept(int n) { n = 2; }"
    new = deltas(kept + "\n")
    arrivals = [reader.read(delta) for delta in new[cut:]]
    assert arrivals[0][0] is Arrival.REWOUND
    again = [fork for _, found in arrivals for fork in found]
    assert len(forks) == 2 and len(again) == 1
    assert again[0].at_char == len(kept)


def test_a_reader_that_begins_again_asks_only_for_what_is_new() -> None:
    text = PROSE + CPP + PROSE + CPP
    first, second = read(text)
    reader = Reader(SETTINGS, asked=[first.at_char])
    assert [f.at_char for d in deltas(text) for f in reader.read(d)[1]] == [second.at_char]


def test_an_answer_is_not_forked_but_ends_the_reasoning() -> None:
    reader = Reader(SETTINGS)
    reasoning = deltas(PROSE + PYTHON.rstrip())
    forks = [fork for delta in reasoning for fork in reader.read(delta)[1]]
    assert forks == []
    last = reasoning[-1]
    answer = [
        msgspec.structs.replace(d, seq=last.seq + 1 + d.seq, first_char=last.first_char + len(last.text) + d.first_char,
                                channel="answer")
        for d in deltas(CPP + PROSE + CPP)
    ]
    forks = [fork for delta in answer for fork in reader.read(delta)[1]]
    assert [f.at_char for f in forks] == [len(PROSE + PYTHON.rstrip())]


def test_token_positions() -> None:
    stream = Stream()
    for delta in deltas("abcdefghij", size=4):
        stream.accept(delta)
    assert [stream.boundary(c) for c in (1, 4, 5, 8, 10)] == [(1, 4), (1, 4), (2, 8), (2, 8), (3, 10)]
    with pytest.raises(ValueError, match="not arrived"):
        stream.boundary(11)
    blind = Stream()
    blind.accept(deltas("abcd", ids=False)[0])
    assert blind.boundary(2) == (None, 2)


def test_a_generation_that_starts_over_is_read_from_its_new_beginning() -> None:
    reader = Reader(SETTINGS)
    for delta in deltas(PROSE):
        reader.read(delta)
    over = [msgspec.structs.replace(d, seq=len(deltas(PROSE)) + d.seq) for d in deltas(PROSE + CPP)]
    arrivals = [reader.read(delta) for delta in over]
    assert arrivals[0][0] is Arrival.REWOUND and arrivals[1][0] is Arrival.NEXT
    assert [f.at_char for _, forks in arrivals for f in forks] == [len(PROSE + CPP) - 1]
    assert reader.read(deltas(PROSE)[3]) == (Arrival.REPEATED, [])


def test_reading_goes_on_after_a_loss() -> None:
    reader = Reader(SETTINGS)
    lost = deltas(PROSE + CPP + PROSE + CPP)
    middle = len(PROSE + CPP) // 4
    assert reader.read(lost[middle])[0] is Arrival.GAP
    forks = reader.skip_to(lost[middle])
    forks += [fork for delta in lost[middle + 1 :] for fork in reader.read(delta)[1]]
    assert [f.at_char for f in forks] == [len(PROSE + CPP + PROSE + CPP) - 1]
    assert reader.read(lost[middle - 1])[0] is Arrival.REPEATED
