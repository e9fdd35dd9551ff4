"""Outputs as they arrived: what a candidate's process says of them is believed only where it can be true."""
from __future__ import annotations

from typing import Any

import torch

from common.judge.check import Expected, Returned
from common.judge.lane.ended import out_of_line
from common.judge.protocol import Done, Output, Result

_PLAIN = (bool, int, float, str)


def receive(arena: Any, done: Done | Result, expected: Expected) -> list[Returned]:
    """The outputs from the judge's own copy of the arena. CandidateEnded (`cheated`) for a description that lies."""
    try:
        outputs = [_returned(arena, output) for output in done.outputs]
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise out_of_line(f"an output described as what it is not: {error}") from None
    if done.spec == expected.spec:
        for output, eager in zip(outputs, expected.eager, strict=False):
            if isinstance(output.value, torch.Tensor) != isinstance(eager, torch.Tensor):
                raise out_of_line("an output that is not of the kind its structure says")
    return outputs


def _returned(arena: Any, output: Output) -> Returned:
    if not output.dtype:
        if output.value is not None and type(output.value) not in _PLAIN:
            raise ValueError(f"a value of type {type(output.value).__name__}")
        return Returned(value=output.value, type_name=output.type_name)
    return Returned(
        value=arena.taken(output), type_name=output.type_name, device=output.device,
        overlap=output.overlap,  # type: ignore[arg-type]
    )
