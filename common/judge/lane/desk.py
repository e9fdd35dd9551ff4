"""What a device request works on: the known tasks, and candidates in processes of their own on one device."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from common.devices import Device
from common.judge.artefact import Artefact
from common.judge.device_memory import give_back_unused
from common.judge.faults import JudgeFault
from common.judge.lane.candidate import Candidate, CandidateEnded
from common.judge.lane.serve import Bench
from common.judge.lane.spares import limits_by
from common.judge.lane.tasks import KnownTask, Tasks
from common.judge.protocol import Count, Counted
from common.judge.settings import JudgeSettings
from common.messages.campaign import TaskSource


class Desk:
    """Lives as long as the process; `seconds` are those of the request under way."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._tasks = Tasks()
        self._limits = limits_by()
        self.seconds: dict[str, float] = {}

    def begin(self) -> None:
        self.seconds = {}

    def task(self, task: TaskSource, device: Device) -> KnownTask:
        with self.step("task"):
            return self._tasks.get(task, torch_device(device))

    def forget(self) -> None:
        """Compute references again when they are needed."""
        self._tasks.forget()

    @contextmanager
    def candidate(self, device: Device, settings: JudgeSettings | None = None) -> Iterator[Candidate]:
        """A process of its own for the block; killed with all it started afterwards. `settings`: limits of its calls
        other than the judge's."""
        with self.step("spare"):
            give_back_unused(torch_device(device))
            spare = self._bench.spares.take(device.kind, device.index or 0, device.cores)
        candidate = Candidate(spare, settings or self._bench.settings, self._bench.builder.get)
        try:
            with self.step("spare"):
                candidate.await_ready()
            yield candidate
        except CandidateEnded as ended:
            self._bench.spares.give_back(spare)
            if device.kind == "cuda" and ended.device_suspect:
                self._probe(device)
            raise
        finally:
            candidate.close()
            self._bench.spares.give_back(spare)

    def _probe(self, device: Device) -> None:
        """Use the device from a new process; JudgeFault with `quarantine` where it does not answer."""
        self._bench.check()
        spare = self._bench.spares.take(device.kind, device.index or 0, device.cores, fresh=True)
        try:
            Candidate(spare, self._bench.settings, self._bench.builder.get).await_ready()
        except JudgeFault as fault:
            raise JudgeFault(f"{device.id} does not answer a probe: {fault.reason}", quarantine=True) from None
        finally:
            self._bench.spares.give_back(spare)

    def load(self, candidate: Candidate, artefact: Artefact, precision: str) -> None:
        """Import a source with its built extensions and what Triton compiled for it before."""
        with self.step("load"):
            kernels = self._bench.kernels.find(artefact.digest)
            candidate.load(artefact.source, self._files(artefact.extensions), precision, kernels)

    def load_own(self, process: Candidate, source: str, precision: str) -> None:
        """Import a source of the judge's; nothing that a candidate's process wrote comes near it."""
        with self.step("load"):
            process.load(source, {}, precision)

    def keep_kernels(self, candidate: Candidate, artefact: Artefact) -> None:
        """For the next process of a source that passed. A process that fails now changes no verdict."""
        with self.step("kernels"), contextlib.suppress(CandidateEnded):
            self._bench.kernels.keep(artefact.digest, candidate.collect(), passed=True)

    def count(self, candidate: Candidate, task: TaskSource, artefact: Artefact, seconds: float) -> Counted:
        """Have a candidate's counters read, for at most so many seconds."""
        order = Count(
            task=task.source, source=artefact.source, files=self._files(artefact.extensions), precision=task.precision,
            seconds=seconds,
        )
        with self.step("count"):
            return candidate.count(order)

    def _files(self, extensions: dict[str, str]) -> dict[str, bytes]:
        """What the cache still holds; the rest is built again when it is asked for."""
        found = {asked: self._bench.builder.module(key) for asked, key in extensions.items()}
        return {asked: module for asked, module in found.items() if module}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Its wall seconds count among the request's, under this name."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def record(self, artefact: Artefact) -> dict[str, Any]:
        """Evidence about the circumstances."""
        facts = {"source_sha256": artefact.digest, "limits": self._limits, "torch": str(torch.__version__)}
        return facts | artefact.record


def torch_device(device: Device) -> torch.device:
    return torch.device("cuda", device.index or 0) if device.kind == "cuda" else torch.device("cpu")
