"""Compiling: the candidate's module is imported in a sandbox without a device, its model is made there where that may
ask for more, and what they ask for is built; for a GPU what Triton would compile at its first calls as well.

A candidate whose import fails for want of a GPU is not judged here: the device stage imports it again.
"""
from __future__ import annotations

import os
import re
import time

import msgspec

from common.judge.artefact import Artefact
from common.judge.lane.candidate import Candidate, CandidateEnded
from common.judge.lane.foresee import foresee
from common.judge.lane.serve import Bench, main
from common.judge.protocol import Built, Extension, request_key
from common.judge.requests import Compile, Reply
from common.messages.campaign import TaskSource
from common.messages.judgement import Outcome

_NEEDS_DEVICE = (Outcome.RUNTIME_ERROR, Outcome.OUT_OF_MEMORY)
_BUILDS = re.compile(r"\bload(?:_inline)?\s*\(")


def compile_candidate(bench: Bench, request: Compile) -> Reply:
    cores = tuple(sorted(os.sched_getaffinity(0)))
    started = time.monotonic()
    recorder = Recorder(bench)
    spare = bench.spares.take("compile", 0, cores)
    try:
        candidate = Candidate(spare, bench.settings, recorder.build)
        candidate.await_ready()
        ready = time.monotonic()
        try:
            candidate.load(request.source, {}, request.task.precision)
        except CandidateEnded as ended:
            if bench.kind == "cpu" or ended.outcome not in _NEEDS_DEVICE:
                raise
            return Reply(artefact=recorder.artefact(request.source, started, ready))
        _construct(candidate, request, recorder)
        artefact = recorder.artefact(request.source, started, ready)
        return Reply(artefact=_foreseen(bench, candidate, request.task, artefact))
    finally:
        bench.spares.give_back(spare)


def _construct(candidate: Candidate, request: Compile, recorder: Recorder) -> None:
    """Where the source may build more than its import did. CandidateEnded where that does not compile; what else ends
    a constructor here may be for want of a device."""
    if "cpp_extension" not in request.source or len(_BUILDS.findall(request.source)) <= len(recorder.keys):
        return
    try:
        candidate.construct(request.task.source)
    except CandidateEnded as ended:
        if ended.outcome is Outcome.COMPILE_ERROR:
            raise


def _foreseen(bench: Bench, candidate: Candidate, task: TaskSource, artefact: Artefact) -> Artefact:
    if bench.kind == "cpu" or not bench.settings.foresee_seconds:
        return artefact
    began = time.monotonic()
    told = foresee(bench, candidate, task, artefact)
    bench.check()
    return msgspec.structs.replace(
        artefact, record=artefact.record | ({"foreseen": told} if told else {}),
        seconds=artefact.seconds | {"foresee": time.monotonic() - began},
    )


class Recorder:
    """Builds what a candidate asks for and notes it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.keys: dict[str, str] = {}
        self.flags: list[str] = []
        self.seconds = 0.0

    def build(self, wanted: Extension) -> Built:
        started = time.monotonic()
        built = self._bench.builder.get(wanted)
        self.seconds += time.monotonic() - started
        self._bench.check()
        if built.module:
            self.keys[request_key(wanted)] = self._bench.builder.key(wanted)
            self.flags.append(" ".join((*wanted.cflags, *wanted.cuda_cflags)))
        return built

    def artefact(self, source: str, started: float, ready: float) -> Artefact:
        """Of a source whose process was asked for and ready at these times of the monotonic clock."""
        load = time.monotonic() - ready - self.seconds
        return Artefact(
            source=source, extensions=self.keys, record=self._record(),
            seconds={"spare": ready - started, "load": load, "compile": self.seconds},
        )

    def _record(self) -> dict[str, str]:
        tools = self._bench.tools
        return {"compiler": tools.version, "torch": tools.facts.torch, "flags": "; ".join(self.flags)}


if __name__ == "__main__":
    main("judge-compile", compile_candidate)
