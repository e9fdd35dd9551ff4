"""Small tasks and shorthands for the tests of the judge's numerics."""
from __future__ import annotations

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
    flatten,
    load_task,
    plan_cases,
    policy_for,
    reference,
)
from tests.kernels.corpus import task_source
from tests.kernels.inprocess import SECRET

STRICT = policy_for("fp32")


def task(name: str) -> TaskModule:
    return load_task(task_source(name))


def written(body: str, inputs: str, init: str = "", parameters: str = "") -> TaskModule:
    """A task from the body of forward(self, x, ...) and the list its get_inputs returns."""
    return load_task(
        "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
        f"class Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n        {init or 'pass'}\n"
        f"    def forward(self, {parameters or 'x'}):\n        {body}\n"
        f"def get_inputs():\n    return {inputs}\n"
        "def get_init_inputs():\n    return []\n"
    )


def case(of: TaskModule, name: str = "own") -> Case:
    return next(case for case in plan_cases(of, secret=SECRET) if case.name == name)


def expect(of: TaskModule, name: str = "own", policy: CheckPolicy = STRICT, device: str = "cpu") -> Expected:
    return reference(of, case(of, name), device, policy)


def judge(expected: Expected, value: Any, policy: CheckPolicy = STRICT, **facts: Any) -> Finding | None:
    """Compare a value as if a candidate had returned it."""
    spec, leaves = flatten(value)
    return compare(expected, spec, [Returned(leaf, **facts) for leaf in leaves], policy)


def eager(expected: Expected) -> torch.Tensor:
    """A copy of eager's first output."""
    value: torch.Tensor = expected.eager[0]
    return value.clone()
