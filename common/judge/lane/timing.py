"""Pairs of timed calls, candidate against reference, in processes pinned and limited alike, on new inputs each time.

The judge's clock runs from the order to the moment it holds the outputs, on a GPU from a gate's opening until the
process says that it is over (`clocked.py`). While one side runs the other is frozen. On a CPU both are while inputs are
written, so that nothing can be computed ahead; on a GPU it would show in what surrounds the window. Every timed output
is checked.
"""
from __future__ import annotations

import dataclasses
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import msgspec
import torch

from common.judge.check import (
    Case,
    Expected,
    compare,
    doubtful,
    draw_series,
    fresh_case,
    make_init_inputs,
    make_inputs,
    to_feedback,
)
from common.judge.faults import JudgeFault
from common.judge.lane.agreement import counted, disagreement, read_clocks
from common.judge.lane.between import between
from common.judge.lane.blocks import Block, Blocks
from common.judge.lane.candidate import Candidate
from common.judge.lane.clocks import Sides
from common.judge.lane.device_arena import new_arena
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.lingering import Lingering
from common.judge.lane.nvml import Governor
from common.judge.lane.paired import STEP, Pair, measure, missing
from common.judge.lane.parcel import Parcel, inline, input_bytes, output_bytes, parcel
from common.judge.lane.receive import Received, receive
from common.judge.lane.roofline import bandwidth, floor_seconds
from common.judge.lane.series import series_length
from common.judge.lane.serve import Bench
from common.judge.lane.sizing import Sizing
from common.judge.lane.spent import Spent
from common.judge.lane.tasks import KnownTask, rejected
from common.judge.lane.turn import Timer, Turn
from common.judge.protocol import Kernel
from common.judge.tree import pack
from common.logs import get_logger
from common.messages.judgement import Feedback, Measurement, Outcome

log = get_logger()


class Timing:
    """Pairs of calls until the interval is narrow enough or the budget is spent; `inputs` are the last call's."""

    def __init__(
        self, bench: Bench, known: KnownTask, candidate: Candidate, reference: Candidate,
        governor: Governor | None = None, lingering: Lingering | None = None,
    ) -> None:
        self._bench = bench
        self._known = known
        self._candidate = candidate
        self._reference = reference
        self._lingering = lingering
        self._secret = secrets.token_bytes(32)
        self._random = random.Random(secrets.randbits(64))
        self._spent = Spent()
        with self._spent.on("reference"):
            self.expected = known.timed()
        self._timer = Timer(self.expected, governor, self._spent)
        self.blocks = Blocks(bench.settings.pairs)
        self._calls = 1
        self._between = 0.0

    def run(self, bar: float = 0.0) -> Measurement:
        """CandidateEnded where the candidate fails or a timed output is wrong. `bar`: a speedup; an interval that lies
        below it is narrow enough."""
        settings = self._bench.settings
        latest = time.monotonic() + settings.profile_seconds
        with self._spent.on("prepare"):
            self._prepare()
        deadline, planned = time.monotonic() + settings.time_seconds, settings.pairs
        while len(self.blocks) < settings.pairs_most:
            self._bench.check()
            self.blocks.add(self._block(len(self.blocks) + 1))
            if len(self.blocks) % STEP:
                continue
            if time.monotonic() > latest:
                break
            if len(self.blocks) < settings.pairs:
                continue
            if time.monotonic() > deadline:
                break
            if len(self.blocks) >= planned and not self.blocks.short:
                measured = self._measure()
                more = missing(measured, settings.target_width)
                if not more or measured.high < bar:
                    break
                planned = len(self.blocks) + more
        return self._agreed(self._final())

    def trace(self) -> tuple[Kernel, ...]:
        """The launches of one call apart from the timed ones; none where tracing failed, which is not the candidate's
        fault."""
        try:
            return self._candidate.call(self._candidate.arena.give(self.inputs), thaw=True, trace=True).done.kernels
        except CandidateEnded as ended:
            log.warning("profile.not_traced", reason=ended.feedback.summary)
            return ()

    def _measure(self, between: Callable[[float], float] = lambda seconds: 0.0) -> Measurement:
        kept = self.blocks.kept()
        empty = [call.seconds for block in kept for call in block.reference_path]
        with self._spent.on("figure"):
            pairs, confidence = [block.pair for block in kept], self._bench.settings.confidence
            return measure(pairs, empty, confidence, self._random, between)

    def _final(self) -> Measurement:
        """With what no further pair would have taken from the interval in it."""
        of_device = partial(between, self._known.device.type)
        measured = self._measure(of_device)
        self._between = of_device(1e-3 * measured.candidate_ms)
        return measured

    def _agreed(self, measurement: Measurement) -> Measurement:
        """The measurement by the clock that counts. CandidateEnded (`cheated`) where the clocks contradict."""
        clocks = read_clocks(1e-3 * measurement.candidate_ms, self.blocks.kept(), self._floor())
        if disagreement(clocks):  # perhaps the floor was measured while something else held the memory up
            bandwidth.cache_clear()
            clocks = clocks._replace(floor=min(clocks.floor, self._floor()))
        if problem := disagreement(clocks):
            evidence = {"clocks": clocks._asdict(), **self.record()}
            raise CandidateEnded(Outcome.CHEATED, Feedback(summary=problem), evidence)
        return counted(measurement, clocks)

    def _floor(self) -> float:
        return floor_seconds(self.expected.written, self._known.device)

    def _prepare(self) -> None:
        """Models, arenas and first calls: autotuning and lazy initialisation are over before a clock runs."""
        case = self.expected.case
        inputs = make_inputs(self._known.module, case, self._known.device)
        needed = input_bytes(inputs), output_bytes(self.expected.eager)
        alone: dict[Candidate, float] = {}
        arguments = pack(make_init_inputs(self._known.module, case), inline)
        for side in (self._candidate, self._reference):
            with self._blamed(side):
                side.share(partial(new_arena, self._known.device, *needed))
                with self._spent.on("make"):
                    side.make(case.weight_seed, arguments)
                with self._spent.on("first"):
                    for _ in range(2):
                        answered = side.call(side.arena.give(inputs))
                alone[side] = answered.seconds
                side.freeze()
        self.inputs = inputs
        (returned,) = receive(self._reference.arena, answered.done, self.expected)
        if compare(self.expected, *returned, self._known.policy):
            raise JudgeFault("the reference's process and the judge disagree about the task's own result")
        if self._known.device.type == "cuda":
            sides = self._reference, self._candidate  # what the driver cannot do is not found out with the candidate
            sizing = Sizing(sides, self._blamed, inputs, self._known.device)
            with self._spent.on("size"):
                alone = {side: sizing.alone(side) for side in sides}
            free, _ = torch.cuda.mem_get_info(self._known.device)
            wanted = series_length(min(alone.values()), max(alone.values()), sum(needed), free)
            with self._spent.on("lengthen"):
                self._calls = sizing.lengthen(wanted, needed)
        self._timer.alone = alone

    def _block(self, index: int) -> Block:
        """Both sides on the same new inputs, in random order, and launched alike: where the task itself waits for the
        device, what the candidate takes to launch counts as well."""
        self._candidate.gates = self._candidate.gates and self._reference.gates
        cases = [self._case(index * self._calls + call) for call in range(self._calls)]
        former = parcel([self.inputs], self._known.device)
        with self._spent.on("draw"):
            given = self._draw(cases)
        sides = [self._candidate, self._reference]
        self._random.shuffle(sides)
        turns = {side: self._turn(side, former, given) for side in sides}
        candidate, reference = turns[self._candidate], turns[self._reference]
        with self._spent.on("compare"):
            self._compare(cases, candidate.results, reference.results)
        return Block(
            Pair(reference=reference.seconds, candidate=candidate.seconds),
            Pair(reference=reference.around, candidate=candidate.around),
            Pair(reference=reference.span, candidate=candidate.span),
            Pair(reference=reference.launch, candidate=candidate.launch),
            reference.path, candidate.path, reference.disturbed,
            Sides(reference.window, candidate.window) if reference.window and candidate.window else None,
        )

    def _draw(self, cases: list[Case]) -> Parcel:
        """The parcel alone holds them from here on, but for the last call's."""
        series = draw_series(self._known.module, cases, self._known.device)
        self.inputs = series[-1]
        return parcel(series, self._known.device)

    def _case(self, index: int) -> Case:
        """Inputs that nobody else has seen, for the weights that both sides were made with."""
        weights = self.expected.case.weight_seed
        return msgspec.structs.replace(fresh_case(self._secret, index), weight_seed=weights)

    def _turn(self, side: Candidate, former: Parcel, given: Parcel) -> Turn:
        if self._lingering and side is self._reference:
            with self._spent.on("idle"):
                self._lingering.check(self._candidate)
        with self._blamed(side):
            return self._timer.turn(side, former, given)

    def _blamed(self, side: Candidate) -> AbstractContextManager[None]:
        """What fails in here is the candidate's fault where it is the candidate's side, and ours where it is not."""
        return nullcontext() if side is self._candidate else ours()

    def _compare(self, cases: list[Case], candidate: list[Received], reference: list[Received]) -> None:
        """Each timed output against the reference's own on the same inputs, by the task's error scale. CandidateEnded
        (`rejected_task`) where the reference's had no room: that is made for outputs of the first inputs' sizes."""
        if any(isinstance(o.value, torch.Tensor) and o.value.is_meta for call in reference for o in call.outputs):
            raise rejected("how large its outputs are depends on the values of its inputs")
        for call in doubtful(self.expected, reference, candidate, self._known.policy):
            eager = tuple(output.value for output in reference[call].outputs)
            finding = compare(self._expect(cases[call], eager), *candidate[call], self._known.policy)
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
        return {
            "calls_a_window": self._calls, "between_ms": 1e3 * self._between, "spent": self._spent.record(),
            **self.blocks.record(),
        }


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
