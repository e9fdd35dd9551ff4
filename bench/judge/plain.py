"""The plain harness, for one candidate, in this process: `python -m bench.judge.plain TASK.py KERNEL.py DEVICE`.

Prints JSON: whether the outputs were close, and the mean seconds of candidate and reference.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import torch

TRIALS, WARM, TIMED = 5, 3, 100
"""Comparisons, calls that do not count and calls that do, as the usual evaluation has them."""
TOLERANCE = 1e-4


def imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(module: Any, name: str, arguments: list[Any], device: torch.device) -> Any:
    torch.manual_seed(42)
    return getattr(module, name)(*arguments).to(device)


def inputs_of(task: Any, device: torch.device) -> list[Any]:
    return [x.to(device) if isinstance(x, torch.Tensor) else x for x in task.get_inputs()]


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def close(one: Any, other: Any, device: torch.device, task: Any) -> bool:
    for seed in range(TRIALS):
        torch.manual_seed(seed)
        inputs = inputs_of(task, device)
        if not torch.allclose(one(*inputs), other(*inputs), atol=TOLERANCE, rtol=TOLERANCE):
            return False
    return True


def mean_seconds(model: Any, inputs: list[Any], device: torch.device) -> float:
    for _ in range(WARM):
        model(*inputs)
    wait(device)
    began = time.perf_counter()
    for _ in range(TIMED):
        model(*inputs)
        wait(device)
    return (time.perf_counter() - began) / TIMED


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", type=Path)
    parser.add_argument("kernel", type=Path)
    parser.add_argument("device")
    args = parser.parse_args()
    device, task = torch.device(args.device), imported(args.task)
    found: dict[str, Any] = {"close": False}
    with torch.no_grad():
        model = built(task, "Model", task.get_init_inputs(), device)
        try:
            candidate = built(imported(args.kernel), "ModelNew", task.get_init_inputs(), device)
            if close(model, candidate, device, task):
                inputs = inputs_of(task, device)
                times = [mean_seconds(side, inputs, device) for side in (candidate, model)]
                found = {"close": True, "candidate_seconds": times[0], "reference_seconds": times[1]}
        except Exception as error:  # noqa: BLE001 - foreign code: what it raises is the finding
            found["error"] = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
