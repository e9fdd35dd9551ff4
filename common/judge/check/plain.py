"""The calls of a window that are plainly right, told for all of them with one wait for the device.

`compare` asks the device several questions about every output and waits for each answer. What is found right here it
finds right too: the same structure, form and kind, everything finite, and an error within what it lets pass without a
question. It is asked about the rest.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch

from common.judge.check.compare import Returned, eager_unit
from common.judge.check.measure import PIECE
from common.judge.check.policy import CheckPolicy
from common.judge.check.reference import Expected

_CLOSE = 0.999
"""Of the error that `compare` lets pass: the two add up in another order."""
Part = tuple[torch.Tensor, torch.Tensor]


class Outputs(Protocol):
    """What one call returned, see `flatten`."""

    @property
    def spec(self) -> str: ...

    @property
    def outputs(self) -> list[Returned]: ...


def doubtful(expected: Expected, ours: Sequence[Outputs], theirs: Sequence[Outputs], policy: CheckPolicy) -> list[int]:
    """The numbers of the calls that are not plainly right, `theirs` against `ours` on the same inputs, by the scales of
    `expected`."""
    alike = [number for number, both in enumerate(zip(ours, theirs, strict=True)) if _alike(expected, *both)]
    marks = [
        _wrong(expected, index, [theirs[n].outputs[index].value for n in alike],
               [ours[n].outputs[index].value for n in alike], policy)
        for index, eager in enumerate(expected.eager) if alike and isinstance(eager, torch.Tensor) and eager.numel()
    ]
    wrong = torch.stack(marks).any(0).tolist() if marks else [False] * len(alike)
    right = {number for number, mark in zip(alike, wrong, strict=True) if not mark}
    return [number for number in range(len(ours)) if number not in right]


def _alike(expected: Expected, ours: Outputs, theirs: Outputs) -> bool:
    if not ours.spec == theirs.spec == expected.spec:
        return False
    if not len(ours.outputs) == len(theirs.outputs) == len(expected.eager):
        return False
    return all(
        _same_form(expected, *leaves) for leaves in zip(expected.eager, ours.outputs, theirs.outputs, strict=True)
    )


def _same_form(expected: Expected, eager: Any, our: Returned, their: Returned) -> bool:
    if not isinstance(eager, torch.Tensor):
        return type(our.value) is type(their.value) and bool(our.value == their.value)
    return (
        their.type_name in ("Tensor", "Parameter") and not their.overlap
        and their.device in ("", expected.device.type)
        and all(isinstance(leaf.value, torch.Tensor) and not leaf.value.is_meta
                and leaf.value.dtype == eager.dtype and leaf.value.shape == eager.shape for leaf in (our, their))
    )


def _wrong(
    expected: Expected, index: int, got: list[torch.Tensor], eager: list[torch.Tensor], policy: CheckPolicy
) -> torch.Tensor:
    """By call, whether one output is in doubt: booleans on the device, not waited for."""
    if expected.scales[index] is None:
        return torch.cat([
            torch.stack([(one != other).any(-1) for one, other in parts]).any(0) for parts in _pieces(got, eager)
        ])
    unit, limit = eager_unit(expected, index, policy), _CLOSE * policy.unsuspected_for(got[0].dtype)
    numbers = got[0].numel() * (2 if got[0].is_complex() else 1)
    squares = torch.cat([
        torch.stack([_squares(*part, unit) for part in parts]).sum(0) for parts in _pieces(got, eager)
    ])
    return ~(squares <= numbers * limit**2)  # NaN, as of anything that is not finite, is in doubt


def _squares(one: torch.Tensor, other: torch.Tensor, unit: float) -> torch.Tensor:
    """In units of error, so that squares of what is close neither vanish nor overflow. In single precision but for what
    is double: the difference of two numbers that are close is exact, and one that overflows is in doubt."""
    wide = torch.float64 if one.dtype is torch.float64 else torch.float32
    return (one.to(wide) - other.to(wide)).div_(unit).square_().sum(-1)


def _pieces(got: list[torch.Tensor], eager: list[torch.Tensor]) -> Iterator[list[Part]]:
    """Several calls at once, as rows; where one is large by itself its parts, so that little memory is needed."""
    rows = max(1, PIECE // got[0].numel())
    for start in range(0, len(got), rows):
        one, other = (_rows(side[start : start + rows]) for side in (got, eager))
        yield list(zip(torch.split(one, PIECE, -1), torch.split(other, PIECE, -1), strict=True))


def _rows(tensors: list[torch.Tensor]) -> torch.Tensor:
    values = tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(tensors)
    return (torch.view_as_real(values) if values.is_complex() else values).reshape(len(tensors), -1)
