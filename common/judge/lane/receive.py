"""Outputs as they arrived: what a candidate's process says of them is believed only where it can be true."""
from __future__ import annotations

from typing import Any, NamedTuple

import torch

from common.judge.check import Expected, Returned
from common.judge.check.structure import same_structure
from common.judge.lane.arena import Kept
from common.judge.lane.ended import out_of_line
from common.judge.protocol import Done, Output, Result

_PLAIN = (bool, int, float, str)


class Received(NamedTuple):
    """What one call returned: its structure and its leaves."""

    spec: str
    outputs: list[Returned]


def receive(arena: Any, done: Done, expected: Expected) -> list[Received]:
    """What each call of a window returned, from the judge's own copy of the arena. CandidateEnded (`cheated`) for a
    description that lies."""
    kept = arena.keep()
    results: list[Done | Result] = [done, *done.more]
    return [_received(kept, result, expected) for result in results]


def _received(kept: Kept, result: Done | Result, expected: Expected) -> Received:
    try:
        outputs = [_returned(kept, output) for output in result.outputs]
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise out_of_line(f"an output described as what it is not: {error}") from None
    if same_structure(result.spec, expected.spec):
        for output, eager in zip(outputs, expected.eager, strict=False):
            if isinstance(output.value, torch.Tensor) != isinstance(eager, torch.Tensor):
                raise out_of_line("an output that is not of the kind its structure says")
    return Received(result.spec, outputs)


def _returned(kept: Kept, output: Output) -> Returned:
    if not output.dtype:
        if output.value is not None and type(output.value) not in _PLAIN:
            raise ValueError(f"a value of type {type(output.value).__name__}")
        return Returned(value=output.value, type_name=output.type_name)
    return Returned(
        value=kept.output(output), type_name=output.type_name, device=output.device,
        overlap=output.overlap,  # type: ignore[arg-type]
    )
