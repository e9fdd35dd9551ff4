"""Triton's kernels of a source compiled before it has a device: on a candidate's first launch the compiler works for
seconds, over every configuration of an autotuned kernel one after the other, while a leased device waits.

A process without a device calls the model on the shapes of the task's cases (`child/foresee.py`). What it has compiled
is placed into the processes of the same source that have one (`kernels.py`); whatever else they launch they compile.
"""
from __future__ import annotations

from common.judge.artefact import Artefact
from common.judge.lane.candidate import Candidate
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.serve import Bench
from common.judge.protocol import Foresee
from common.messages.campaign import TaskSource


def foresee(bench: Bench, candidate: Candidate, task: TaskSource, artefact: Artefact) -> str:
    """What came of it, for the record. A candidate that ends here is judged on a device, like any."""
    capabilities = bench.tools.capabilities
    if not capabilities or bench.kernels.find(artefact.digest):
        return ""
    # On a host with GPUs of several kinds those of the others are compiled when they are launched.
    order = Foresee(task=task.source, capability=int(capabilities[0]), seconds=bench.settings.foresee_seconds)
    try:
        found = candidate.foresee(order)
        bench.kernels.keep(artefact.digest, candidate.collect(), passed=False)
    except CandidateEnded as ended:
        return f"compiled no kernel ahead: {ended.feedback.summary}"
    missed = f", and missed some: {'; '.join(dict.fromkeys(found.missed))}" if found.missed else ""
    return f"compiled for {found.launches} launches ahead{missed}" if found.launches or missed else ""
