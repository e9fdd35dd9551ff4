"""A program of its own that `ncu` starts: the candidate's model, warmed up, then one call with counting on.

Inputs are the task's, from a seed that is no secret; what it returns is looked at by nobody.
"""
from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from common.judge.check import fresh_case, load_task, make_init_inputs, make_inputs
from common.judge.check.policy import set_backend_precision
from common.judge.child import devices, extension
from common.judge.child.module import load_module
from common.judge.protocol import Count, SpareSpec

_SEED = b"counted"
_WARM_UP = 2


class Job(msgspec.Struct, frozen=True):
    """What the file named on the command line holds."""

    spec: SpareSpec
    order: Count


def run(job: Job) -> None:
    """Raises what the candidate raises."""
    spec, order = job.spec, job.order
    devices.prepare(spec)
    torch.set_num_threads(len(spec.cores))
    set_backend_precision(order.precision)
    extension.install(_nobody(), order.files)
    device = devices.torch_device(spec)
    task = load_task(order.task)
    case = fresh_case(_SEED, 0)
    inputs = make_inputs(task, case, device)
    torch.manual_seed(case.weight_seed)
    model = load_module(order.source).ModelNew(*make_init_inputs(task, case))
    if isinstance(model, torch.nn.Module):
        model = model.to(device)
    with torch.no_grad():
        for _ in range(_WARM_UP):
            model(*inputs)
        _count(lambda: model(*inputs), spec)


def _count(call: Callable[[], Any], spec: SpareSpec) -> None:
    devices.synchronize(spec)
    if spec.role != "cuda":
        call()
        return
    torch.cuda.profiler.start()  # type: ignore[no-untyped-call]
    call()
    devices.synchronize(spec)
    torch.cuda.profiler.stop()  # type: ignore[no-untyped-call]


def _nobody() -> socket.socket:
    """Where a builder would be asked: what was not built before cannot be built here."""
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours


if __name__ == "__main__":
    run(msgspec.msgpack.decode(Path(sys.argv[1]).read_bytes(), type=Job))
