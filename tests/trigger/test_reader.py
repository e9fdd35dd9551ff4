"""From deltas to signals: order, gaps, resumption, positions."""
from __future__ import annotations

import msgspec
import pytest

from common.messages import TokenDelta
from tests.trigger.facts import deltas
from tests.trigger.texts import CPP, PROSE, PYTHON, prose
from trigger.reader import USUAL_RATE, Reader
from trigger.signals import STRUCTURAL
from trigger.stream import Arrival, Stream


def completed(reader: Reader, stream: list[TokenDelta]) -> list[int]:
    """Where code was completed while `stream` was read."""
    return [s.end for delta in stream for s in reader.read(delta)[1] if s.kind in STRUCTURAL]


def moved(stream: list[TokenDelta], *, seq: int, char: int = 0, channel: str | None = None) -> list[TokenDelta]:
    return [
        msgspec.structs.replace(
            d, seq=d.seq + seq, first_char=d.first_char + char, first_token=d.first_token + seq,
            channel=channel or d.channel,
        )
        for d in stream
    ]


def test_it_begins_with_a_signal() -> None:
    signals = [s for delta in deltas(PROSE) for s in Reader().read(delta)[1]]
    assert (signals[0].kind, signals[0].end) == ("started", 0)


@pytest.mark.parametrize("size", [1, 3, 50, 5000])
def test_same_signals_whatever_the_pieces(size: int) -> None:
    text = (PROSE + CPP + PROSE + PYTHON + "\n") * 2
    assert completed(Reader(), deltas(text, size=size)) == completed(Reader(), deltas(text))


def test_repeated_deltas_change_nothing() -> None:
    reader, found = Reader(), []
    for delta in deltas(PROSE + CPP):
        found += completed(reader, [delta])
        assert reader.read(delta) == (Arrival.REPEATED, [])
    assert found == [len(PROSE + CPP) - 1]


def test_a_gap_takes_nothing_in() -> None:
    reader = Reader()
    first, _, third, *_ = deltas(PROSE)
    assert reader.read(first)[0] is Arrival.NEXT
    assert reader.read(third) == (Arrival.GAP, [])
    assert len(reader.stream.deltas) == 1


def test_a_resumed_generation_is_read_again() -> None:
    reader = Reader()
    completed(reader, deltas(PROSE + CPP + PROSE + "void lost(int n) { n = 1; }\n"))
    cut = len(PROSE + CPP) // 4 + 3
    kept = (PROSE + CPP + PROSE)[: cut * 4] + prose(2) + "void kept(int n) { n = 2; }"
    again = deltas(kept + "\n")[cut:]
    arrivals = [reader.read(delta) for delta in again]
    assert arrivals[0][0] is Arrival.REWOUND
    ends = [s.end for _, found in arrivals for s in found if s.kind in STRUCTURAL]
    assert ends == [len(PROSE + CPP) - 1, len(kept)]


def test_a_generation_that_starts_over_is_read_from_its_new_beginning() -> None:
    reader = Reader()
    completed(reader, deltas(PROSE))
    over = [msgspec.structs.replace(d, seq=len(deltas(PROSE)) + d.seq) for d in deltas(PROSE + CPP)]
    assert reader.read(over[0])[0] is Arrival.REWOUND
    assert completed(reader, over[1:]) == [len(PROSE + CPP) - 1]
    assert reader.read(deltas(PROSE)[3]) == (Arrival.REPEATED, [])


def test_an_answer_ends_the_reasoning_and_is_not_forked() -> None:
    reader = Reader()
    reasoning = deltas(PROSE + PYTHON.rstrip())
    assert completed(reader, reasoning) == []
    answer = moved(deltas(CPP + PROSE + CPP), seq=len(reasoning), char=len(PROSE + PYTHON.rstrip()), channel="answer")
    assert completed(reader, answer) == [len(PROSE + PYTHON.rstrip())]


@pytest.mark.parametrize("channel", ["reasoning", "answer"])
def test_repetition_is_seen_in_both_channels(channel: str) -> None:
    reader = Reader()
    stream = moved(deltas("again and again\n" * 1000), seq=0, channel=channel)
    assert [s.kind for d in stream for s in reader.read(d)[1] if s.kind == "repeating"] == ["repeating"]


def test_reading_goes_on_after_a_loss() -> None:
    reader = Reader()
    lost = deltas(PROSE + CPP + PROSE + CPP)
    middle = len(PROSE + CPP) // 4 + 2
    assert reader.read(lost[middle])[0] is Arrival.GAP
    first = [s.end for s in reader.skip_to(lost[middle]) if s.kind in STRUCTURAL]
    assert first + completed(reader, lost[middle + 1 :]) == [len(PROSE + CPP + PROSE + CPP) - 1]
    assert reader.read(lost[middle - 1])[0] is Arrival.REPEATED


def test_the_rate_is_the_streams_own() -> None:
    reader = Reader()
    for delta in deltas(PROSE):
        reader.read(msgspec.structs.replace(delta, at=delta.seq / 80))
    assert reader.rate() == pytest.approx(80)
    early = Reader()
    early.read(deltas(PROSE)[0])
    assert early.rate() == USUAL_RATE


def test_token_positions() -> None:
    stream = Stream()
    for delta in deltas("abcdefghij", size=4):
        stream.accept(delta)
    assert [stream.boundary(c) for c in (0, 1, 4, 5, 8, 10)] == [(0, 0), (1, 4), (1, 4), (2, 8), (2, 8), (3, 10)]
    with pytest.raises(ValueError, match="not arrived"):
        stream.boundary(11)
    blind = Stream()
    blind.accept(deltas("abcd", ids=False)[0])
    assert [blind.boundary(c) for c in (0, 2)] == [(None, 0), (None, 2)]
