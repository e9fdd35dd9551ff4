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
    build_model,
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
        # From a file: Triton and TorchScript read the source back.
        path = Path(tempfile.mkdtemp(prefix="specgen-")) / f"{name}.py"
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
            weights = {k: v for k, v in build_model(task, case, self.device).state_dict().items()}
            own = model.state_dict()
            model.load_state_dict({k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}, strict=False)
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


def findings(task: TaskModule, source: str, references: list[Expected], policy: CheckPolicy) -> Iterator[Finding | str]:
    """What is wrong in each case: findings, or an exception's text where the candidate may not refuse the case."""
    candidate = Candidate(source, references[0].device.type)
    previous = None
    for expected in references:
        try:
            spec, leaves = flatten(candidate(task, expected.case))
        except Exception as error:
            if expected.case.on_error == "reject":
                yield f"{expected.case.name}: {type(error).__name__}: {error}"
            continue
        finding = compare(expected, spec, [Returned(leaf) for leaf in leaves], policy, previous=previous)
        previous = expected
        if finding and expected.case.on_wrong == "reject":
            yield finding


def ratios(task: TaskModule, source: str, references: list[Expected], policy: CheckPolicy) -> dict[str, list[float]]:
    """Error ratios of every case the candidate runs, by case name."""
    candidate = Candidate(source, references[0].device.type)
    found = {}
    for expected in references:
        try:
            leaves = flatten(candidate(task, expected.case))[1]
            found[expected.case.name] = error_ratios(expected, leaves, policy)
        except Exception as error:
            found[expected.case.name] = []
            if expected.case.on_error == "reject":
                raise RuntimeError(f"{expected.case.name}: {error}") from error
    return found
