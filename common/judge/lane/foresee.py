"""Triton's kernels of a source compiled before it has a device: on a candidate's first launch the compiler works for
seconds, over every configuration of an autotuned kernel one after the other, while a leased device waits.

A process without a device calls the model on the shapes of the task's cases (`child/foresee.py`). What it has compiled
is placed into the processes of the same source that have one (`kernels.py`); whatever else they launch they compile.
"""
from __future__ import annotations

from functools import cache

from common.judge.artefact import Artefact
from common.judge.lane.candidate import Candidate
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.serve import Bench
from common.judge.protocol import Foresee
from common.messages.campaign import TaskSource


def foresee(bench: Bench, candidate: Candidate, task: TaskSource, artefact: Artefact) -> str:
    """What came of it, for the record. A candidate that ends here is judged on a device, like any."""
    capability = compute_capability()
    if not capability or bench.kernels.find(artefact.digest):
        return ""
    order = Foresee(task=task.source, capability=capability, seconds=bench.settings.foresee_seconds)
    try:
        found = candidate.foresee(order)
        bench.kernels.keep(artefact.digest, candidate.collect(), passed=False)
    except CandidateEnded as ended:
        return f"compiled no kernel ahead: {ended.feedback.summary}"
    missed = f", and missed some: {'; '.join(dict.fromkeys(found.missed))}" if found.missed else ""
    return f"compiled for {found.launches} launches ahead{missed}" if found.launches or missed else ""


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
