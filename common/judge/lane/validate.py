"""Validation: a candidate against every case of its task, in a process that sees inputs only."""
from __future__ import annotations

import time
from functools import partial
from typing import Any

import msgspec
import torch

from common.judge.check import (
    Case,
    Expected,
    Finding,
    Returned,
    build_model,
    compare,
    error_ratios,
    make_init_inputs,
    make_inputs,
    to_feedback,
)
from common.judge.device_memory import give_back_unused
from common.judge.lane.candidate import Candidate
from common.judge.lane.desk import Desk
from common.judge.lane.device_arena import new_arena
from common.judge.lane.ended import CandidateEnded, too_slow
from common.judge.lane.parcel import inline, input_bytes, output_bytes
from common.judge.lane.receive import receive
from common.judge.lane.serve import Bench
from common.judge.lane.tasks import KnownTask
from common.judge.requests import Validate
from common.judge.tree import Tree, pack
from common.judge.weights import drawn_otherwise, weigh
from common.messages.judgement import Feedback, Judgement, Outcome

_POISONS = (0xFF, 0x3C)
"""NaN and -1; a small number that no result is likely to be."""
_WIDELY = 0.25
"""Share of values far off from which on other weights may be the reason."""


def validate(bench: Bench, desk: Desk, request: Validate) -> Judgement:
    known = desk.task(request.task, request.device)
    with desk.step("task"):
        known.check()
    known.begin(bench.settings.secret_uses)
    artefact = request.artefact
    with desk.candidate(request.device) as candidate:
        desk.load(candidate, artefact, request.task.precision)
        trial = Trial(bench, known, candidate)
        trial.run()
        desk.keep_kernels(candidate, artefact)
    labels = set(trial.labels) | set(bench.labels) | (set() if candidate.own_code else {"library_only"})
    return Judgement(
        outcome=Outcome.PASSED,
        feedback=Feedback(summary=f"right on {len(trial.ratios)} kinds of inputs"),
        labels=tuple(sorted(labels)),
        seconds=desk.seconds | {"reference": trial.reference_seconds, "check": trial.check_seconds},
        record={"error_ratios": trial.ratios, "secret": known.digest, **desk.record(artefact)},
    )


class Trial:
    """The cases of one candidate, in order; the first finding ends it."""

    def __init__(self, bench: Bench, known: KnownTask, candidate: Candidate) -> None:
        self._bench = bench
        self._known = known
        self._candidate = candidate
        self._made: tuple[Any, ...] | None = None
        self._before = ""
        self._previous: Expected | None = None
        self._calls = 0
        self.labels: set[str] = set()
        self.ratios: dict[str, list[float]] = {}
        self.reference_seconds = 0.0
        self.check_seconds = 0.0

    def run(self) -> None:
        """CandidateEnded with what was found."""
        began = time.monotonic()
        for expected in self._known.usable():
            self._bench.check()
            ready = time.monotonic()
            self.reference_seconds += ready - began
            if self.check_seconds > self._bench.settings.validate_seconds:
                raise too_slow("all cases together")
            self._judge(expected)
            del expected  # as there
            began = time.monotonic()
            self.check_seconds += began - ready

    def _judge(self, expected: Expected) -> None:
        case = expected.case
        try:
            outputs, finding = self._call(expected)
        except CandidateEnded as ended:
            if not ended.in_words or case.on_error != "label":
                raise
            self.labels.add(case.label)
            return
        if finding is None:
            self.ratios[case.name] = error_ratios(expected, [output.value for output in outputs], self._known.policy)
        elif case.on_wrong == "label":
            self.labels.add(case.label)
        else:
            raise CandidateEnded(finding.outcome, self._feedback(finding), self._evidence(finding))

    def _call(self, expected: Expected) -> tuple[list[Returned], Finding | None]:
        self._make(expected.case)
        inputs = make_inputs(self._known.module, expected.case, self._known.device)
        self._room(inputs, expected)
        give_back_unused(self._known.device)
        edited = expected.case.edits is not None and self._follows(expected.case)
        tree = self._candidate.arena.give(inputs, again=edited)
        del inputs  # a comparison of large outputs has no room for what is in the arena
        outputs, finding = self._once(expected, tree, edited)
        if finding is None and expected.case.name == "own":
            self._again(expected, tree, outputs)
        self._candidate.arena.forget()
        return outputs, finding

    def _follows(self, case: Case) -> bool:
        """Whether the call before this one was that of the case it edits, whose buffers are still there."""
        return self._before == case.edits

    def _once(self, expected: Expected, tree: Tree, edited: bool) -> tuple[list[Returned], Finding | None]:
        arena = self._candidate.arena
        poison = _POISONS[self._calls % len(_POISONS)]
        self._calls += 1
        arena.poison(poison)
        done = self._candidate.call(tree, poison=poison, edited=edited, hold=True).done
        ((spec, outputs),) = receive(arena, done, expected)
        finding = compare(expected, spec, outputs, self._known.policy, previous=self._previous)
        self._before = expected.case.name
        self._previous = expected if self._known.keeps(expected) else None
        return outputs, finding or self._mutated(expected.case)

    def _again(self, expected: Expected, tree: Tree, before: list[Returned]) -> None:
        """The same inputs once more: other bits are no fault, but are told."""
        again, finding = self._once(expected, tree, edited=False)
        if finding:
            raise CandidateEnded(finding.outcome, to_feedback(finding), self._evidence(finding))
        if not all(map(_same_bits, before, again)):
            self.labels.add("nondeterministic")

    def _mutated(self, case: Case) -> Finding | None:
        if self._candidate.arena.untouched():
            return None
        what = "forward writes to its inputs; the task's own leaves them as they are"
        return Finding(outcome=Outcome.WRONG_VALUES, case=case, what=what, pattern="mutated")

    def _make(self, case: Case) -> None:
        key = (case.weight_seed, case.constants)
        if key != self._made:
            self._made = None
            arguments = make_init_inputs(self._known.module, case)
            self._candidate.make(case.weight_seed, pack(arguments, inline))
            self._made = key

    def _room(self, inputs: list[Any], expected: Expected) -> None:
        """An arena that holds this case; the one at hand where it does."""
        needed = input_bytes(inputs), output_bytes(expected.eager)
        if self._candidate.arena is None or not self._candidate.arena.holds(*needed):
            self._candidate.share(partial(new_arena, self._known.device, *needed))

    def _feedback(self, finding: Finding) -> Feedback:
        """With the reason where the candidate's weights are it."""
        feedback = to_feedback(finding)
        if finding.outcome is not Outcome.WRONG_VALUES or (finding.share or 0.0) < _WIDELY:
            return feedback
        ours = weigh(build_model(self._known.module, finding.case, "cpu"))
        try:
            cause = drawn_otherwise(ours, self._candidate.weigh()) if ours else ""
        except CandidateEnded:
            return feedback  # the finding stands, whatever the process does now
        return msgspec.structs.replace(feedback, cause=cause) if cause else feedback

    def _evidence(self, finding: Finding) -> dict[str, Any]:
        return {"finding": finding.record(), "error_ratios": self.ratios, "secret": self._known.digest}


def _same_bits(one: Returned, other: Returned) -> bool:
    if not isinstance(one.value, torch.Tensor):
        return bool(one.value == other.value or one.value != one.value)
    return torch.equal(_bits(one.value), _bits(other.value))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8) if tensor.numel() else tensor
