"""Compiling: the candidate's module is imported in a sandbox without a device, and what it asks for is built.

A candidate whose import fails for want of a GPU is not judged here: the device stage imports it again.
"""
from __future__ import annotations

import os
import time

from common.judge.artefact import Artefact
from common.judge.lane.candidate import Candidate, CandidateEnded
from common.judge.lane.serve import Bench, main
from common.judge.protocol import Built, Extension, request_key
from common.judge.requests import Compile, Reply
from common.messages.judgement import Outcome

_NEEDS_DEVICE = (Outcome.RUNTIME_ERROR, Outcome.OUT_OF_MEMORY)


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
    finally:
        bench.spares.give_back(spare)
    load = time.monotonic() - ready - recorder.seconds
    return Reply(artefact=Artefact(
        source=request.source, extensions=recorder.keys, record=recorder.record(),
        seconds={"spare": ready - started, "load": load, "compile": recorder.seconds},
    ))


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

    def record(self) -> dict[str, str]:
        tools = self._bench.tools
        return {"compiler": tools.version, "torch": tools.facts.torch, "flags": "; ".join(self.flags)}


if __name__ == "__main__":
    main("judge-compile", compile_candidate)
