"""Pairs of timed calls, candidate against reference, in processes pinned and limited alike, on new inputs each time.

The judge's clock runs from the order to the moment it holds the outputs. While one side runs the other is frozen; both
are while inputs are written, so that nothing can be computed ahead. Every timed output is checked.
"""
from __future__ import annotations

import dataclasses
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import median, quantiles
from typing import Any, NamedTuple

import msgspec
import torch

from common.judge.check import (
    Case,
    Expected,
    Returned,
    compare,
    fresh_case,
    make_init_inputs,
    make_inputs,
    to_feedback,
)
from common.judge.faults import JudgeFault
from common.judge.lane.agreement import Clocks, counted, disagreement
from common.judge.lane.arena import inline, input_bytes, output_bytes
from common.judge.lane.blocks import Block, Blocks, Empty
from common.judge.lane.candidate import Candidate
from common.judge.lane.clocks import Reading, Sides, Window
from common.judge.lane.device_arena import new_arena
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.filler import Filler
from common.judge.lane.nvml import Governor
from common.judge.lane.paired import STEP, Pair, measure, missing, net
from common.judge.lane.receive import receive
from common.judge.lane.roofline import floor_seconds
from common.judge.lane.series import series_length
from common.judge.lane.serve import Bench
from common.judge.lane.tasks import KnownTask
from common.judge.lane.waits import disturbed
from common.judge.protocol import Done, Kernel, Result
from common.judge.tree import Tree, pack
from common.logs import get_logger
from common.messages.judgement import Feedback, Measurement, Outcome

log = get_logger()
_POISON = 0xFF
_EMPTY_CALLS = 3
"""Calls a pair that return what is there already: the path's own time."""


class Turn(NamedTuple):
    """One side's timed series: seconds a call by the judge's clock and by its own, what each call returned, whether it
    had to wait for its cores, and the device's clocks around it where they are read."""

    seconds: float
    span: float
    results: list[tuple[str, list[Returned]]]
    inputs: list[Tree]
    disturbed: bool
    window: Window | None
    path: list[Empty]


class Timing:
    """Pairs of calls until the interval is narrow enough or the budget is spent; `inputs` are the last call's."""

    def __init__(
        self, bench: Bench, known: KnownTask, candidate: Candidate, reference: Candidate,
        governor: Governor | None = None,
    ) -> None:
        self._bench = bench
        self._known = known
        self._candidate = candidate
        self._reference = reference
        self._secret = secrets.token_bytes(32)
        self._random = random.Random(secrets.randbits(64))
        self.expected = known.reference(fresh_case(self._secret, 0))
        self._filler = Filler(known.device)
        self._governor = governor
        self.blocks = Blocks(bench.settings.pairs)
        self._calls = 1

    def run(self) -> Measurement:
        """CandidateEnded where the candidate fails or a timed output is wrong."""
        settings = self._bench.settings
        self._prepare()
        deadline, planned = time.monotonic() + settings.time_seconds, settings.pairs
        while len(self.blocks) < settings.pairs_most:
            self._bench.check()
            self.blocks.add(self._block(len(self.blocks) + 1))
            if len(self.blocks) < settings.pairs or len(self.blocks) % STEP:
                continue
            if time.monotonic() > deadline:
                break
            if len(self.blocks) >= planned and not self.blocks.short:
                more = missing(self._measure(), settings.target_width)
                if not more:
                    break
                planned = len(self.blocks) + more
        return self._agreed(self._measure())

    def trace(self) -> tuple[Kernel, ...]:
        """The launches of one call apart from the timed ones; none where tracing failed, which is not the candidate's
        fault."""
        try:
            return self._candidate.call(self._candidate.arena.give(self.inputs), thaw=True, trace=True).done.kernels
        except CandidateEnded as ended:
            log.warning("profile.not_traced", reason=ended.feedback.summary)
            return ()

    def _measure(self) -> Measurement:
        kept = self.blocks.kept()
        empty = [call.seconds for block in kept for call in block.reference_path]
        return measure([block.pair for block in kept], empty, self._bench.settings.confidence, self._random)

    def _agreed(self, measurement: Measurement) -> Measurement:
        """The measurement by the clock that counts. CandidateEnded (`cheated`) where the clocks contradict."""
        kept = self.blocks.kept()
        empty = [call.seconds for block in kept for call in block.reference_path]
        path, quarters = median(empty), quantiles(empty, n=4)
        own_path = median(call.span for block in kept for call in block.candidate_path)
        clocks = Clocks(
            judge=1e-3 * measurement.candidate_ms,
            quartile=quantiles((net(block.pair.candidate, path) for block in kept), n=4)[0],
            process=median(block.spans.candidate for block in kept) - own_path,
            spread=quarters[2] - quarters[0],
            floor=floor_seconds(output_bytes(self.expected.eager), self._known.device),
        )
        if problem := disagreement(clocks):
            evidence = {"clocks": clocks._asdict(), **self.record()}
            raise CandidateEnded(Outcome.CHEATED, Feedback(summary=problem), evidence)
        return counted(measurement, clocks)

    def _prepare(self) -> None:
        """Models, arenas and first calls: autotuning and lazy initialisation are over before a clock runs."""
        case = self.expected.case
        inputs = make_inputs(self._known.module, case, self._known.device)
        needed = input_bytes(inputs), output_bytes(self.expected.eager)
        arguments = pack(make_init_inputs(self._known.module, case), inline)
        for side in (self._candidate, self._reference):
            with self._blamed(side):
                side.share(new_arena(self._known.device, *needed))
                side.make(case.weight_seed, arguments)
                for _ in range(2):
                    done = side.call(side.arena.give(inputs)).done
                side.freeze()
        self.inputs = inputs
        if compare(self.expected, done.spec, receive(self._reference.arena, done, self.expected), self._known.policy):
            raise JudgeFault("the reference's process and the judge disagree about the task's own result")
        if self._known.device.type == "cuda":
            least = min(self._alone(side) for side in (self._candidate, self._reference))
            free, _ = torch.cuda.mem_get_info(self._known.device)
            self._lengthen(series_length(least, sum(needed), free), needed)

    def _lengthen(self, calls: int, needed: tuple[int, int]) -> None:
        """From here on a window holds so many calls, each of which needs so many bytes for inputs and outputs."""
        self._calls = calls
        for side in (self._candidate, self._reference):
            side.thaw()
            side.share(new_arena(self._known.device, *(count * calls for count in needed)))
            side.freeze()

    def _alone(self, side: Candidate) -> float:
        """About how long one call takes without the path; negative where the path's own noise is longer."""
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for empty in (False, True) * 3:
            with self._blamed(side):
                seconds[empty].append(side.call(side.arena.give(self.inputs), thaw=True, empty=empty).seconds)
                side.freeze()
        return median(seconds[False]) - median(seconds[True])

    def _block(self, index: int) -> Block:
        """Both sides on the same new inputs, in random order."""
        cases = [fresh_case(self._secret, index * self._calls + call) for call in range(self._calls)]
        series = [make_inputs(self._known.module, case, self._known.device) for case in cases]
        sides = [self._candidate, self._reference]
        self._random.shuffle(sides)
        turns = {side: self._turn(side, series) for side in sides}
        candidate, reference = turns[self._candidate], turns[self._reference]
        for case, ours, theirs in zip(cases, reference.results, candidate.results, strict=True):
            self._compare(case, theirs, ours)
        self.inputs = series[-1]
        return Block(
            Pair(reference=reference.seconds, candidate=candidate.seconds),
            Pair(reference=reference.span, candidate=candidate.span),
            reference.path, candidate.path, reference.disturbed,
            Sides(reference.window, candidate.window) if reference.window and candidate.window else None,
        )

    def _blamed(self, side: Candidate) -> AbstractContextManager[None]:
        """What fails in here is the candidate's fault where it is the candidate's side, and ours where it is not."""
        return nullcontext() if side is self._candidate else ours()

    def _turn(self, side: Candidate, series: list[list[Any]]) -> Turn:
        with self._blamed(side):
            return self._timed(side, series)

    def _timed(self, side: Candidate, series: list[list[Any]]) -> Turn:
        """One call on former inputs to warm up, then the timed ones on new inputs, then empty ones."""
        side.call(side.arena.give(self.inputs), thaw=True)
        side.freeze()
        first, *more = trees = side.arena.give_all(series)
        side.arena.poison(_POISON)
        before = self._filler.run_beside(self._clocks)
        waits = side.waits()
        done, seconds = side.call(first, more=more, thaw=True)
        side.freeze()
        waited, after = waits.since(), self._clocks()
        results = [(result.spec, receive(side.arena, result, self.expected)) for result in _results(done)]
        if not side.arena.untouched():
            raise CandidateEnded(Outcome.WRONG_VALUES, Feedback(summary="forward writes to its inputs in a timed call"))
        path = self._path(side, trees)
        window = Window(before, after) if before and after else None
        held_up = disturbed(waited, seconds)
        return Turn(seconds / self._calls, done.span / self._calls, results, trees, held_up, window, path)

    def _clocks(self) -> Reading | None:
        return self._governor.read() if self._governor else None

    def _path(self, side: Candidate, inputs: list[Tree]) -> list[Empty]:
        """Calls that return what is there already: only the reference's give the path, but both processes are used
        alike."""
        calls = []
        for _ in range(_EMPTY_CALLS):
            self._filler.run()
            done, took = side.call(inputs[0], more=inputs[1:], thaw=True, empty=True)
            side.freeze()
            calls.append(Empty(took / self._calls, done.span / self._calls))
        return calls

    def _compare(
        self, case: Case, candidate: tuple[str, list[Returned]], reference: tuple[str, list[Returned]]
    ) -> None:
        """A timed output against the reference's own on the same inputs, by the task's error scale."""
        eager = tuple(output.value for output in reference[1])
        finding = compare(self._expect(case, eager), *candidate, self._known.policy)
        if finding:
            feedback = to_feedback(finding)
            raise CandidateEnded(
                finding.outcome, msgspec.structs.replace(feedback, summary=f"in a timed call: {feedback.summary}"),
                {"finding": finding.record()},
            )

    def _expect(self, case: Case, eager: tuple[Any, ...]) -> Expected:
        exact = tuple(_wide(leaf) for leaf in eager)
        return dataclasses.replace(self.expected, case=case, eager=eager, exact=exact)

    def record(self) -> dict[str, Any]:
        return {"calls_a_window": self._calls, **self.blocks.record()}


def _results(done: Done) -> list[Done | Result]:
    return [done, *done.more]


def _wide(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor) or not (leaf.is_floating_point() or leaf.is_complex()):
        return leaf
    return leaf.to(torch.complex128 if leaf.is_complex() else torch.float64)


@contextmanager
def ours() -> Iterator[None]:
    """What fails in here is the reference's process, never the candidate."""
    try:
        yield
    except CandidateEnded as ended:
        said = f"{ended.feedback.summary} {ended.feedback.message[-500:]}"
        raise JudgeFault(f"the reference's process failed: {said}") from None
