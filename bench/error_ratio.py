"""Error ratios of the kept kernels: where honest ones end, where wrong ones begin, and the limits between.

    python -m bench.error_ratio [--device cuda] [--seeds N] [--json]

Runs the kernels of `tests/kernels` in this process, without a sandbox; those in C++ or CUDA are built by torch first.
For each task: the largest ratio that an honest kernel reaches in any case of any seed, the smallest among the largest
ratios of the wrong ones (`inf` where NaN or another form gave it away), and the limit. A ratio is the RMS error against
fp64 over eager's own.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import torch

from common.judge.check import Case, CheckPolicy, Expected, Finding, load_task, plan_cases, policy_for, reference
from common.judge.check.policy import EXTREME
from tests.kernels.corpus import Kernel, kernels, task_source
from tests.kernels.inprocess import Candidate, examine


class Row(msgspec.Struct, kw_only=True):
    """One task under one precision."""

    task: str
    precision: str
    dtype: str
    longest_sum: int
    limit: float
    limit_extreme: float
    honest: float = 0.0
    """Largest ratio of an honest kernel, and which."""
    honest_by: str = ""
    honest_extreme: float = 0.0
    """The same over the cases with inputs scaled up, which have a limit of their own."""
    honest_kernels: int = 0
    rejected: list[str] = msgspec.field(default_factory=list)
    """Honest kernels that were found wrong: there should be none."""
    wrong: float | None = None
    """Smallest of the wrong kernels' own largest ratios, and which."""
    wrong_by: str = ""
    wrong_kernels: int = 0
    missed: list[str] = msgspec.field(default_factory=list)
    """Wrong kernels that passed: there should be none."""


class Seen(NamedTuple):
    ratio: float
    extreme: float
    found: bool


NEEDS_THE_JUDGE = ("result_in_a_kept_buffer", "writes_into_its_input")
"""Wrong in what they do to memory, which only the whole judge sees."""


def main() -> int:
    options = _options()
    rows = table(options.device, options.seeds)
    if options.json:
        print(json.dumps({"device": options.device, "torch": torch.__version__, "seeds": options.seeds,
                          "rows": [_plain(row) for row in rows]}, indent=1))
    else:
        _print(rows)
    return 1 if any(row.rejected or row.missed for row in rows) else 0


def table(device: str, seeds: int) -> list[Row]:
    """A row for each task and precision that any kept kernel of the device is written for."""
    torch.set_num_threads(1)
    groups: dict[tuple[str, str], list[Kernel]] = defaultdict(list)
    for kernel in (*kernels("honest", device), *kernels("wrong", device)):
        groups[kernel.task, kernel.precision].append(kernel)
    return [_row(task, precision, found, device, seeds) for (task, precision), found in sorted(groups.items())]


def _row(task: str, precision: str, found: list[Kernel], device: str, seeds: int) -> Row:
    policy = policy_for(precision)
    references = [list(_references(task, device, policy, seed)) for seed in range(seeds)]
    row = _blank(task, precision, references[0][0], policy)
    for kernel in found:
        if kernel.name.endswith(NEEDS_THE_JUDGE):
            continue
        seen = [_run(kernel, expected, policy) for expected in references]
        (_add_honest if kernel.group == "honest" else _add_wrong)(row, kernel.name, seen)
    return row


def _references(task: str, device: str, policy: CheckPolicy, seed: int) -> Iterator[Expected]:
    module = load_task(task_source(task))
    secret = hashlib.sha256(f"error ratio {seed}".encode()).digest()
    for case in plan_cases(module, secret=secret):
        expected = reference(module, case, device, policy)
        if expected.usable:
            yield expected


def _blank(task: str, precision: str, own: Expected, policy: CheckPolicy) -> Row:
    dtype = next((leaf.dtype for leaf, scale in zip(own.eager, own.scales, strict=True) if scale), own.eager[0].dtype)
    length = own.longest_sum
    return Row(
        task=task, precision=precision, dtype=str(dtype).removeprefix("torch."), longest_sum=length,
        limit=policy.limit_for(dtype, length), limit_extreme=policy.limit_for(dtype, length, EXTREME[0]),
    )


def _run(kernel: Kernel, references: list[Expected], policy: CheckPolicy) -> Seen:
    """Largest ratio over the cases that a candidate must get right, those with inputs scaled up apart."""
    candidate, worst, found = Candidate(kernel.source, references[0].device.type), {False: 0.0, True: 0.0}, False
    for expected, result, ratios in examine(candidate, references, policy):
        if _excused(expected.case, result):
            continue
        found |= result is not None
        ratio = max(ratios, default=math.inf if result else 0.0)
        extreme = expected.case.kind in EXTREME
        worst[extreme] = max(worst[extreme], ratio)
    return Seen(worst[False], worst[True], found)


def _excused(case: Case, result: Finding | str | None) -> bool:
    return (case.on_error if isinstance(result, str) else case.on_wrong) == "label"


def _add_honest(row: Row, name: str, seen: list[Seen]) -> None:
    row.honest_kernels += 1
    if any(one.found for one in seen):
        row.rejected.append(name)
    worst = max(one.ratio for one in seen)
    if worst > row.honest:
        row.honest, row.honest_by = worst, name
    row.honest_extreme = max(row.honest_extreme, *(one.extreme for one in seen))


def _add_wrong(row: Row, name: str, seen: list[Seen]) -> None:
    row.wrong_kernels += 1
    if not all(one.found for one in seen):
        row.missed.append(name)
    mildest = min(max(one.ratio, one.extreme) for one in seen)
    if row.wrong is None or mildest < row.wrong:
        row.wrong, row.wrong_by = mildest, name


def _plain(row: Row) -> dict[str, Any]:
    """As JSON has it: an infinite ratio is the word `inf`."""
    fields: dict[str, Any] = msgspec.to_builtins(row)
    return {name: "inf" if value == math.inf else value for name, value in fields.items()}


def _print(rows: list[Row]) -> None:
    head = ("task", "dtype", "longest sum", "limit", "honest", "scaled up", "of", "wrong from", "of")
    lines: list[tuple[Any, ...]] = [head]
    for row in rows:
        lines.append((
            row.task, row.dtype, row.longest_sum, f"{row.limit:.0f}", f"{row.honest:.2f}", f"{row.honest_extreme:.2f}",
            row.honest_kernels, "-" if row.wrong is None else f"{row.wrong:.3g}", row.wrong_kernels,
        ))
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for row in rows:
        for name in row.rejected:
            print(f"honest and rejected: {name}")
        for name in row.missed:
            print(f"wrong and passed: {name}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.error_ratio", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seeds", type=int, default=3, help="secrets to draw inputs from")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
