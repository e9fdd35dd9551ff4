"""What a candidate's process may answer with, whatever it is, ends the candidate and not the judge."""
from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from common.judge import JudgeSettings
from common.judge.check import compare
from common.judge.lane.arena import HostArena
from common.judge.lane.candidate import Candidate
from common.judge.lane.ended import CandidateEnded, from_exit
from common.judge.lane.receive import receive
from common.judge.lane.spares import Spare
from common.judge.protocol import Built, Collected, Done, Loaded, Output, encode
from common.judge.wire import send_frame
from common.messages import Outcome
from tests.check.helpers import STRICT, expect, written

_NONCE = 1
_HURRIED = JudgeSettings(load_seconds=0.2, call_seconds=0.2)


def answering(frame: bytes) -> Candidate:
    """A candidate whose process answers with this to whatever it is told."""
    ours, theirs = socket.socketpair()
    send_frame(theirs, frame)
    spare = SimpleNamespace(work=ours, its=theirs, wait_readable=lambda deadline: None)
    candidate = Candidate(cast(Spare, spare), _HURRIED, lambda extension: Built())
    candidate.arena = HostArena(512, 512)
    return candidate


def done(value: Any, span: float = 0.1) -> bytes:
    return encode(Done(nonce=_NONCE, spec="", outputs=(Output(value=value),), span=span))


_COLLECTED = encode(Collected(kernels={"name": b""}))


@pytest.mark.parametrize("frame", [
    b"", b"\xc1", _COLLECTED[:-1], _COLLECTED.replace(b"name", b"\xff" * 4),
    done("x").replace(b"\xa1x", b"\x91" * 100_000 + b"\xc0"),
], ids=["nothing", "no MessagePack", "cut", "no UTF-8", "too deep"])
def test_a_frame_that_is_none_ends_the_candidate(frame: bytes) -> None:
    with pytest.raises(CandidateEnded, match="a frame that is none") as caught:
        answering(frame).collect()
    assert caught.value.outcome is Outcome.CHEATED


@pytest.mark.parametrize("span", [float("inf"), float("-inf"), float("nan")])
def test_a_span_that_is_no_number_of_seconds_ends_the_candidate(span: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.judge.lane.candidate.secrets.randbits", lambda bits: _NONCE)
    assert answering(done(1)).call({}).done.span == 0.1
    with pytest.raises(CandidateEnded, match="by its own clock") as caught:
        answering(done(1, span)).call({})
    assert caught.value.outcome is Outcome.CHEATED


@pytest.mark.parametrize("asked", ["load", "call"])
def test_a_process_that_does_not_read_ends_in_time(asked: str) -> None:
    candidate, much = answering(encode(Loaded())), "x" * (1 << 22)
    with pytest.raises(CandidateEnded) as caught:
        candidate.load(much, {}, "fp32") if asked == "load" else candidate.call({"v": much})
    assert caught.value.outcome is Outcome.TIMEOUT


@pytest.mark.parametrize("number", range(1, 65))
def test_a_process_may_die_of_any_signal(number: int) -> None:
    ended = from_exit(number, "call", False, "")
    assert ended.outcome is Outcome.RUNTIME_ERROR and "the process died of" in ended.feedback.summary


def told(*outputs: Output, spec: str = "(T,T)") -> Outcome | None:
    """The verdict on what is said to have been returned where two tensors of 30 numbers are due."""
    expected = expect(written("return x * 2, x + 1", "[torch.randn(6, 5)]"))
    arena = HostArena(512, 1024)
    arena.take()
    message = Done(nonce=_NONCE, spec=spec, outputs=outputs, span=0.1)
    try:
        ((said, returned),) = receive(arena, message, expected)
    except CandidateEnded as ended:
        return ended.outcome
    finding = compare(expected, said, returned, STRICT)
    return finding.outcome if finding else None


def tensor(dtype: str = "float32", at: int = -1) -> Output:
    return Output(dtype=dtype, shape=(6, 5), at=at)


def test_an_output_without_room_is_one_that_is_too_large() -> None:
    assert told(tensor(), tensor()) is Outcome.CHEATED
    wide = tensor("float64", HostArena(512, 1024).outputs_at)
    assert told(wide, tensor()) is Outcome.WRONG_DTYPE, "which took the other's room"


@pytest.mark.parametrize("spec", ["(T,T)", "[T,T]"])
def test_an_output_of_another_kind_than_its_structure_says_is_a_lie(spec: str) -> None:
    assert told(Output(value=1), Output(value=1), spec=spec) is Outcome.CHEATED


def test_an_arena_is_taken_away_before_another_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device may not have room for both."""
    candidate, told = answering(b""), list[Any]()
    monkeypatch.setattr(candidate, "_ask", lambda order, *_: told.append(order.size))

    def make() -> HostArena:
        told.append("made")
        return HostArena(1024, 1024)

    candidate.share(make)
    assert told == [0, "made", candidate.arena.size]
