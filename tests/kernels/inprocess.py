"""Run a candidate in this very process, for testing and calibrating the numerics alone. No sandbox, no verdict."""
from __future__ import annotations

import hashlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from common.judge.check import (
    Case,
    CheckPolicy,
    Expected,
    Finding,
    Returned,
    TaskModule,
    compare,
    error_ratios,
    flatten,
    make_init_inputs,
    make_inputs,
    plan_cases,
    rebuild,
    reference,
)
from common.judge.check.inputs import seeded

SECRET = hashlib.sha256(b"a fixed secret: these runs must repeat").digest()


class Candidate:
    """A candidate's module, with one `ModelNew` for each weight seed in turn."""

    def __init__(self, source: str, device: str = "cpu") -> None:
        name = f"candidate_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
        # From a file: Triton and TorchScript read the source back. The folder goes with this object.
        self._folder = tempfile.TemporaryDirectory(prefix="specgen-")
        path = Path(self._folder.name) / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec and spec.loader
        self.module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.device = device
        self._built: tuple[Any, torch.nn.Module] | None = None
        self._buffers: list[Any] = []

    def __call__(self, task: TaskModule, case: Case) -> Any:
        model = self._model(task, case)
        with torch.no_grad():
            return model(*self._inputs(task, case))

    def _model(self, task: TaskModule, case: Case) -> torch.nn.Module:
        key = (case.weight_seed, case.constants)
        if self._built is None or self._built[0] != key:
            arguments = make_init_inputs(task, case)
            with seeded(case.weight_seed, torch.device("cpu")):
                model = self.module.ModelNew(*arguments)
            self._built = (key, model.to(self.device))
        return self._built[1]

    def _inputs(self, task: TaskModule, case: Case) -> list[Any]:
        """Fresh inputs; where the case edits the one before it, that one's buffers with the new values in place."""
        fresh = make_inputs(task, case, self.device)
        if case.edits:
            for buffer, values in zip(flatten(self._buffers)[1], flatten(fresh)[1], strict=True):
                if isinstance(buffer, torch.Tensor):
                    buffer.copy_(values)
            return self._buffers
        self._buffers = list(rebuild(fresh, flatten(fresh)[1]))
        return self._buffers


def usable_cases(task: TaskModule, policy: CheckPolicy, device: str = "cpu") -> list[Expected]:
    """References of every case of a task that can be judged by."""
    planned = (reference(task, case, device, policy) for case in plan_cases(task, secret=SECRET))
    return [expected for expected in planned if expected.usable]


def examine(
    candidate: Candidate, references: list[Expected], policy: CheckPolicy
) -> Iterator[tuple[Expected, Finding | str | None, list[float]]]:
    """Case by case: what is wrong (a finding, or an exception's text) and the error ratios where the form is right."""
    previous = None
    for expected in references:
        try:
            spec, leaves = flatten(candidate(expected.task, expected.case))
        except Exception as error:  # the candidate's code: whatever it raises is its result
            yield expected, f"{expected.case.name}: {type(error).__name__}: {error}", []
            continue
        finding = compare(expected, spec, [Returned(leaf) for leaf in leaves], policy, previous=previous)
        previous = expected
        measured = finding is None or finding.ratio is not None
        yield expected, finding, error_ratios(expected, leaves, policy) if measured else []


def findings(source: str, references: list[Expected], policy: CheckPolicy) -> Iterator[Finding | str]:
    """What is wrong in the cases that a candidate may neither refuse nor get wrong."""
    for expected, result, _ in examine(Candidate(source, references[0].device.type), references, policy):
        excused = expected.case.on_error if isinstance(result, str) else expected.case.on_wrong
        if result is not None and excused == "reject":
            yield result
