"""The task's own model under `torch.compile`, as a second baseline beside eager. Off unless the settings ask for it.

It runs in a process like the reference's, in the same sandbox, where Inductor finds the compiler that the sandbox shows
to everyone, and it is timed against the candidate as eager is: in pairs, on new inputs, outputs checked. What comes of
it is a second ratio in the record; the speedup, the outcome and what a stop is decided on remain eager's.
"""
from __future__ import annotations

import time
from typing import Any

import msgspec

from common.judge.lane.beside import or_absent
from common.judge.lane.candidate import Candidate
from common.judge.lane.desk import Desk
from common.judge.lane.nvml import Governor
from common.judge.lane.serve import Bench
from common.judge.lane.tasks import KnownTask
from common.judge.lane.timing import Timing, ours
from common.judge.requests import Profile
from common.messages.judgement import Measurement

MODE = "default"
_COMPILED = f'''

def ModelNew(*arguments):
    import torch
    import torch._inductor.config as inductor
    inductor.compile_threads = 1  # none but this process, which is frozen while others are timed
    return torch.compile(Model(*arguments), mode="{MODE}")
'''


def against_compiled(
    bench: Bench, desk: Desk, known: KnownTask, candidate: Candidate, request: Profile, governor: Governor
) -> dict[str, Any]:
    """For the record: the candidate's speedup over the compiled model, or under `absent` why there is none."""
    started = time.monotonic()
    found = or_absent(lambda: _record(_measured(bench, desk, known, candidate, request, governor)))
    return found | {"mode": MODE, "seconds": time.monotonic() - started}


def _measured(
    bench: Bench, desk: Desk, known: KnownTask, candidate: Candidate, request: Profile, governor: Governor
) -> Measurement:
    """The first call compiles, so calls may take as long as a compiler's run."""
    patient = msgspec.structs.replace(bench.settings, call_seconds=bench.settings.build_seconds)
    with desk.candidate(request.device, patient) as compiled:
        with ours():
            desk.load_own(compiled, request.task.source + _COMPILED, request.task.precision)
        candidate.thaw()
        return Timing(bench, known, candidate, compiled, governor).run()


def _record(measured: Measurement) -> dict[str, Any]:
    return {
        "speedup": measured.speedup, "low": measured.low, "high": measured.high, "confidence": measured.confidence,
        "candidate_ms": measured.candidate_ms, "compiled_ms": measured.reference_ms, "pairs": measured.pairs,
    }
