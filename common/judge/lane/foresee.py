"""Triton's kernels of a source compiled before it has a device: on a candidate's first launch the compiler works for
seconds, a process's every configuration of an autotuned kernel one after the other, while a leased device waits.

A process without a device calls the model on the shapes of the task's cases (`child/foresee.py`). What it has compiled
is placed into the processes of the same source that have one (`kernels.py`); whatever else they launch they compile.
"""
from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import torch

from common.errors import UsageError
from common.judge.artefact import Artefact
from common.judge.check import CaseUnusable, TaskProblem, load_task, make_init_inputs, make_inputs, plan_cases
from common.judge.lane.candidate import Candidate
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.parcel import dtype_name
from common.judge.lane.serve import Bench
from common.judge.protocol import Foresee, ShapedCall
from common.judge.tree import pack
from common.messages.campaign import TaskSource


def foresee(bench: Bench, candidate: Candidate, task: TaskSource, artefact: Artefact) -> str:
    """What came of it, for the record. A candidate that ends here is judged on a device, like any."""
    capability, calls = compute_capability(), shaped_calls(task.source)
    if not capability or not calls or bench.kernels.find(artefact.digest):
        return ""
    order = Foresee(calls=calls, capability=capability, seconds=bench.settings.foresee_seconds)
    try:
        found = candidate.foresee(order)
        bench.kernels.keep(artefact.digest, candidate.collect(), passed=False)
    except CandidateEnded as ended:
        return f"compiled no kernel ahead: {ended.feedback.summary}"
    missed = f", and missed some: {'; '.join(dict.fromkeys(found.missed))}" if found.missed else ""
    return f"compiled for {found.launches} launches ahead{missed}" if found.launches or missed else ""


@lru_cache(2)
def shaped_calls(source: str) -> tuple[ShapedCall, ...]:
    """A task's own call, then one for each other shape that it is checked with; none where they cannot be told: a
    device's stage says what is wrong with it."""
    try:
        task = load_task(source)
        cases = [case for case in plan_cases(task, secret=b"shapes") if case.name == "own" or case.held_out]
        return tuple(
            ShapedCall(
                arguments=pack(make_init_inputs(task, case), _shape),
                inputs=pack(make_inputs(task, case, "meta"), _shape),
            )
            for case in cases
        )
    except (TaskProblem, CaseUnusable, UsageError):
        return ()


def _shape(tensor: Any) -> dict[str, Any]:
    if not isinstance(tensor, torch.Tensor):
        raise TaskProblem(f"a {type(tensor).__name__} has no shape that could be told")
    return {"dtype": dtype_name(tensor), "shape": list(tensor.shape), "stride": list(tensor.stride())}


@cache
def compute_capability() -> int:
    """Of the host's first GPU, times ten; 0 where NVML tells none. A context is not worth it: of another kind of GPU
    than the first the kernels are compiled again."""
    try:
        import pynvml  # noqa: PLC0415 - where it is missing nothing is compiled ahead, and nothing else changes
    except ImportError:
        return 0
    try:
        pynvml.nvmlInit()
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(pynvml.nvmlDeviceGetHandleByIndex(0))
    except pynvml.NVMLError:
        return 0
    return 10 * int(major) + int(minor)
