"""What is plainly right is told for a whole window at once; nothing wrong in any one of its calls is among it."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

from common.judge.check import Returned, doubtful
from common.judge.check.compare import eager_unit
from tests.check.helpers import STRICT, expect, judge, written

CALLS = 5
BODIES = {
    "one": "return x * 2 + 1",
    "half": "return (x * 2).half()",
    "several": "return x * 2, (x > 0), (x * 100).long(), {'a': x.sum(), 'n': 3, 'f': 0.5}",
    "complex": "return torch.complex(x, x + 1)",
    "fp64": "return x.double() * 1e-200",
    "wide": "return x.new_zeros(0), x * 1e30",
}


class Call(NamedTuple):
    spec: str
    outputs: list[Returned]


def window(body: str) -> tuple[Any, list[Call], list[Call]]:
    """What is expected, and the same results from both sides in each of the calls."""
    expected = expect(written(BODIES[body], "[torch.randn(6, 5)]"))
    sides = [
        [Call(expected.spec, [Returned(_copy(leaf)) for leaf in expected.eager]) for _ in range(CALLS)]
        for _ in range(2)
    ]
    return expected, sides[0], sides[1]


def _copy(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf


def changed(call: Call, index: int, change: Callable[[Any], Any], **facts: Any) -> Call:
    outputs = list(call.outputs)
    outputs[index] = dataclasses.replace(outputs[index], value=change(outputs[index].value), **facts)
    return call._replace(outputs=outputs)


def last(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """The last element set."""
    def change(leaf: torch.Tensor) -> torch.Tensor:
        leaf = leaf.clone()
        leaf.view(-1)[-1] = value
        return leaf
    return change


@pytest.mark.parametrize("piece", [7, 1 << 24])
@pytest.mark.parametrize("body", BODIES)
def test_the_tasks_own_results_are_plainly_right(monkeypatch: pytest.MonkeyPatch, body: str, piece: int) -> None:
    monkeypatch.setattr("common.judge.check.plain.PIECE", piece)
    assert doubtful(*window(body), STRICT) == []


@pytest.mark.parametrize("piece", [7, 1 << 24])
@pytest.mark.parametrize("number", [0, 2, CALLS - 1])
@pytest.mark.parametrize(("body", "index", "change"), [
    ("one", 0, last(9.0)), ("one", 0, last(float("nan"))), ("one", 0, last(float("inf"))),
    ("half", 0, last(9.0)),
    ("several", 0, last(9.0)), ("several", 1, torch.logical_not), ("several", 2, lambda leaf: leaf + 1),
    ("several", 3, lambda leaf: leaf * 1.01), ("several", 4, lambda _: 4), ("several", 4, lambda _: 3.0),
    ("several", 5, lambda _: 0.51),
    ("complex", 0, lambda leaf: torch.complex(leaf.real, leaf.imag * 1.01)),
    ("complex", 0, lambda leaf: torch.complex(last(float("nan"))(leaf.real), leaf.imag)),
    ("fp64", 0, last(9e-200)), ("wide", 1, last(9.0)), ("wide", 1, last(1e38)),
    ("one", 0, lambda leaf: leaf[:-1]), ("one", 0, lambda leaf: leaf.double()),
    ("one", 0, lambda leaf: leaf.to("meta")),
])
def test_a_wrong_value_in_any_call_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, body: str, index: int, change: Callable[[Any], Any], number: int, piece: int
) -> None:
    monkeypatch.setattr("common.judge.check.plain.PIECE", piece)
    expected, ours, theirs = window(body)
    theirs[number] = changed(theirs[number], index, change)
    assert doubtful(expected, ours, theirs, STRICT) == [number]


@pytest.mark.parametrize("facts", [{"type_name": "Lazy"}, {"device": "cuda"}, {"overlap": "input"}])
def test_an_odd_form_is_looked_at(facts: dict[str, str]) -> None:
    expected, ours, theirs = window("one")
    theirs[2] = changed(theirs[2], 0, lambda leaf: leaf, **facts)
    theirs[3] = Call("(T)", theirs[3].outputs)
    theirs[4] = Call(expected.spec, [])
    assert doubtful(expected, ours, theirs, STRICT) == [2, 3, 4]


def test_results_of_another_shape_than_the_first_are_looked_at() -> None:
    """As of a task whose shapes depend on its values."""
    expected, ours, theirs = window("one")
    ours[1], theirs[1] = (changed(call, 0, lambda leaf: leaf[:-1]) for call in (ours[1], theirs[1]))
    assert doubtful(expected, ours, theirs, STRICT) == [1]


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 2.0, 100.0])
@pytest.mark.parametrize("body", ["one", "half", "complex", "fp64"])
def test_what_is_plainly_right_is_right(body: str, factor: float) -> None:
    """An error of so many times what is let pass without a question."""
    expected, ours, theirs = window(body)
    limit = STRICT.unsuspected_for(expected.eager[0].dtype) * eager_unit(expected, 0, STRICT)
    both = 1 + 1j if expected.eager[0].is_complex() else 1
    theirs[-1] = changed(theirs[-1], 0, lambda leaf: leaf + factor * limit * both)
    looked_at = doubtful(expected, ours, theirs, STRICT)
    assert looked_at == ([CALLS - 1] if factor > 1 else [])
    if not looked_at:
        same = dataclasses.replace(expected, exact=tuple(_wide(leaf) for leaf in expected.eager))
        assert judge(same, theirs[-1].outputs[0].value) is None


def _wide(leaf: torch.Tensor) -> torch.Tensor:
    return leaf.to(torch.complex128 if leaf.is_complex() else torch.float64)


def test_the_device_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, calls = list[str](), window("several")
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: asked.append("tolist") or tolist(self))
    for name in ("item", "__bool__", "__int__", "__float__", "cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, lambda self, *_, name=name: pytest.fail(name))
    assert doubtful(*calls, STRICT) == []
    assert asked == ["tolist"]
