"""Tasks as a judge process keeps them: their cases and references, computed once for many candidates.

References of large outputs would fill a device. What fits `room` is kept; the rest is computed again for each
candidate. Candidates go through the cases in one order, so to keep the first ones is best: what was used least recently
is what is needed next.
"""
from __future__ import annotations

import hashlib
import os
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property

import torch

from common.errors import UsageError
from common.judge.check import (
    Case,
    CheckPolicy,
    Expected,
    TaskModule,
    TaskProblem,
    check_task,
    fresh_case,
    load_task,
    plan_cases,
    policy_for,
    reference,
)
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.roofline import task_operations
from common.judge.shortage import shortage
from common.messages.campaign import TaskSource
from common.messages.judgement import Feedback, Outcome

_KEPT = 2
_SHARE = 16
"""A task's references take at most this part of the memory: candidates, inputs and fp64 intermediates need the rest."""


class KnownTask:
    """One task on one device: `secret` is drawn here and never leaves the process."""

    def __init__(self, task: TaskSource, device: torch.device, room: int | None = None) -> None:
        """`room`: bytes of references to keep, by default a sixteenth of the device's memory.

        CandidateEnded with `rejected_task` where it is no task.
        """
        self.device = device
        self.room = memory_of(device) // _SHARE if room is None else room
        self.policy: CheckPolicy
        self.module: TaskModule
        try:
            self.policy = policy_for(task.precision)
            self.module = load_task(task.source)
        except (TaskProblem, UsageError) as problem:
            raise rejected(str(problem)) from None
        self._checked = False
        self._draw()

    def check(self) -> None:
        """CandidateEnded with `rejected_task` where no candidate can be judged by it. What has passed is not checked
        again: for a profile, which a verdict comes before, not at all."""
        if self._checked:
            return
        if reason := check_task(self.module, self.device, self.policy, secret=self._secret):
            raise rejected(reason)
        self._checked = not shortage.own

    def _draw(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._cases: list[Case] | None = None
        self._uses = 0
        self.forget()

    def forget(self) -> None:
        """References are computed again when they are needed."""
        self._expected: dict[str, Expected] = {}
        self._timed: Expected | None = None

    def begin(self, most: int) -> None:
        """Another candidate: after `most` of them the inputs are drawn anew."""
        if self._uses >= most:
            self._draw()
        self._uses += 1

    @property
    def digest(self) -> str:
        """Of the secret: tells whether two verdicts used the same inputs, and nothing else."""
        return hashlib.sha256(self._secret).hexdigest()[:16]

    def usable(self) -> Iterator[Expected]:
        """The cases' references in the order they are judged, each computed when first needed."""
        if self._cases is None:
            self._cases = plan_cases(self.module, secret=self._secret)
        for case in self._cases:
            expected = self._expected.pop(case.name, None) or self.reference(case)
            if expected.nbytes <= self.room - self.kept:
                self._expected[case.name] = expected
            if expected.usable:
                yield expected
            del expected  # or it would be there beside the next one, which may need the device's whole memory

    def keeps(self, expected: Expected) -> bool:
        """Whether it stays in memory whoever else needs it."""
        return self._expected.get(expected.case.name) is expected

    @property
    def kept(self) -> int:
        """Bytes of the references that are kept."""
        timed = self._timed.nbytes if self._timed else 0
        return timed + sum(expected.nbytes for expected in self._expected.values())

    def timed(self) -> Expected:
        """What timed outputs are judged by: the form and the error scale of the task's own result, computed once for
        the candidates that share a secret. The timed inputs themselves are nobody's but one timing's."""
        if self._timed is not None:
            return self._timed
        expected = self.reference(fresh_case(self._secret, 0))
        if expected.nbytes <= self.room - self.kept:
            self._timed = expected
        return expected

    @cached_property
    def operations(self) -> int:
        """Floating-point operations of the task's own products and convolutions, which its sizes decide."""
        return task_operations(self.module, fresh_case(self._secret, 0), self.device)

    def reference(self, case: Case) -> Expected:
        try:
            return reference(self.module, case, self.device, self.policy)
        except TaskProblem as problem:
            raise rejected(str(problem)) from None


class Tasks:
    """The last few tasks. Large references are kept of the very last alone."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, str], KnownTask] = OrderedDict()

    def get(self, task: TaskSource, device: torch.device) -> KnownTask:
        key = (task.source, task.precision, str(device))
        if key not in self._known:
            self._known[key] = KnownTask(task, device)
        self._known.move_to_end(key)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        for other in self._known.values():
            if other is not self._known[key] and other.kept > other.room // 4:
                other.forget()
        return self._known[key]

    def forget(self) -> None:
        """The references of all of them."""
        for known in self._known.values():
            known.forget()


def memory_of(device: torch.device) -> int:
    """Bytes of the device's memory, or of the host's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def rejected(reason: str) -> CandidateEnded:
    return CandidateEnded(Outcome.REJECTED_TASK, Feedback(summary=f"the task cannot be judged by: {reason}"))
