"""Device work: validation and profiling, with the trusted side's torch."""
from __future__ import annotations

import torch
import torch._dynamo

from common.judge.faults import JudgeFault
from common.judge.lane.desk import Desk
from common.judge.lane.profile import profile
from common.judge.lane.serve import Bench, main
from common.judge.lane.validate import validate
from common.judge.requests import Profile, Reply, Validate


class Handler:
    def __init__(self) -> None:
        self._desk: Desk | None = None

    def __call__(self, bench: Bench, request: Validate | Profile) -> Reply:
        self._desk = self._desk or Desk(bench)
        self._desk.begin()
        stage = validate if isinstance(request, Validate) else profile
        try:
            return Reply(judgement=stage(bench, self._desk, request))  # type: ignore[arg-type]
        except torch.OutOfMemoryError as error:
            # The candidate's own want of memory is told by its process; this is the reference's, or the arena's.
            torch.cuda.empty_cache()
            raise JudgeFault(f"the device has too little memory left for the judge: {error}"[:500]) from error


if __name__ == "__main__":
    main("judge-device", Handler())
