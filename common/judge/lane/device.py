"""Device work: validation and profiling, with the trusted side's torch."""
from __future__ import annotations

import torch

from common.judge.device_memory import give_back_unused
from common.judge.faults import JudgeFault
from common.judge.lane.desk import Desk, torch_device
from common.judge.lane.profile import profile
from common.judge.lane.serve import Bench, main
from common.judge.lane.validate import validate
from common.judge.out_of_memory import noted
from common.judge.requests import Profile, Reply, Validate
from common.judge.shortage import shortage


class Handler:
    def __init__(self) -> None:
        self._desk: Desk | None = None
        self._device = torch.device("cpu")

    def __call__(self, bench: Bench, request: Validate | Profile) -> Reply:
        self._desk = self._desk or Desk(bench)
        self._desk.begin()
        self._device = torch_device(request.device)
        stage = validate if isinstance(request, Validate) else profile
        try:
            return Reply(judgement=stage(bench, self._desk, request))  # type: ignore[arg-type]
        except RuntimeError as error:
            if not noted(error):
                raise
            # The candidate's own want of memory is told by its process; this is the reference's, or the arena's.
            raise JudgeFault(f"the device has too little memory left for the judge: {error}"[:500]) from error

    def tidy(self) -> None:
        """Whoever has the device next, or lends its spare memory, is to find what references took. Those computed while
        memory was short may lack fp64 or whole cases, and are not what the next request is judged by."""
        if shortage.own and self._desk:
            self._desk.forget()
        give_back_unused(self._device)


if __name__ == "__main__":
    handler = Handler()
    main("judge-device", handler, handler.tidy)
