"""The wire is plain MessagePack, and a subject leads back to its class."""
from __future__ import annotations

import msgpack
import msgspec
import pytest

from common.messages import (
    ALL,
    Budget,
    ForkRequest,
    Llm,
    RunStarted,
    StopRequest,
    TaskSource,
    decode,
    encode,
    message_type,
    pattern,
)

STOP = StopRequest(run="r-1", iteration=2, at=1.5, candidate="c3", reason="mean", numbers={"bar": 1.25})


def test_any_messagepack_reader_understands_a_message() -> None:
    assert msgpack.unpackb(encode(STOP)) == {
        "run": "r-1", "iteration": 2, "at": 1.5, "candidate": "c3", "reason": "mean", "numbers": {"bar": 1.25},
    }


def test_a_message_of_another_writer_is_understood_and_its_unknown_fields_are_ignored() -> None:
    data = msgpack.packb({"run": "r", "iteration": 1, "at": 0.0, "candidate": "c", "reason": "x", "newer": True})
    assert decode(StopRequest, data) == StopRequest(run="r", iteration=1, at=0.0, candidate="c", reason="x")


@pytest.mark.parametrize("change", [{"iteration": "two"}, {"run": None}, {"numbers": {"bar": "high"}}])
def test_a_wrong_field_is_refused(change: dict[str, object]) -> None:
    fields = msgpack.unpackb(encode(STOP)) | change
    with pytest.raises(msgspec.ValidationError):
        decode(StopRequest, msgpack.packb(fields))


def test_nested_structs_survive_the_wire() -> None:
    fact = RunStarted(
        run="r", n=1, at=0.0, task=TaskSource(name="t", source="x = 1"), budget=Budget(iterations=2, tokens=10),
        llm=Llm(url="http://h", model="m"), strategy="refine", device="cpu", speculate=True, stop="mean",
        drain_seconds=1.0,
    )
    assert decode(RunStarted, encode(fact)) == fact


def test_every_class_has_a_subject_of_its_own_that_leads_back_to_it() -> None:
    assert len({kind.SUBJECT for kind in ALL}) == len(ALL) >= 30
    for kind in ALL:
        subject = pattern(kind).replace("*", "x")
        assert message_type(subject) is kind
    assert message_type("specgen.v1.nothing.of.ours") is None
    assert message_type(STOP.subject() + ".more") is None


@pytest.mark.parametrize("run", ["", "a.b", "a b", "*", ">", "é"])
def test_a_field_that_cannot_stand_in_a_subject_is_refused(run: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a subject"):
        msgspec.structs.replace(STOP, run=run).subject()


def test_patterns_fill_in_what_is_given() -> None:
    assert pattern(ForkRequest, run="r7") == "specgen.v1.cmd.r7.fork"
    assert pattern(ForkRequest) == "specgen.v1.cmd.*.fork"
