"""`python -m bench.simulate.fit --out bench/simulate/workload.json`: the recordings' distributions, as numbers.

Needs the recorded traces. Nothing of a recording but quantiles and shares is kept.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.simulate.workload import Workload
from bench.traces import DIRECT, REASONING, TIMED, default_files, load, load_timed
from common.errors import UsageError

_COUNT = 41
_LONGEST = 120.0
"""Seconds after which a judge gives a candidate up."""
_KERNELS = ("cuda_kernel_body_end", "triton_kernel_last_store")
_VALIDATION_SHARE = 0.6
"""Of a judging time, where the recording does not part the two."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.write_text(_lines(fit()))
    return 0


def fit() -> Workload:
    traces = [t for t in load(default_files(REASONING)) if t.complete and not t.degenerate and t.tokens]
    direct, timed = load(default_files(DIRECT)), load_timed(default_files(TIMED))
    if not (traces and direct and timed):
        raise UsageError("the recorded traces are not here: the committed workload.json is what there is")
    marks = [[m for m in t.marks if m.kind in _KERNELS] for t in traces]
    labelled, answered = [t for t in traces if t.passed is not None], [t for t in direct if t.passed is not None]
    return Workload(
        made_by="python -m bench.simulate.fit --out bench/simulate/workload.json",
        reasoning_tokens=quantiles([t.tokens for t in traces]),
        answer_tokens=quantiles([t.answer_tokens for t in traces if t.answer_tokens > 1]),
        fork_tokens=quantiles([t.answer_tokens for t in direct if t.answer_tokens > 1]),
        kernels=quantiles([len(found) for found in marks]),
        depths=quantiles([m.end / len(t.thinking) for t, found in zip(traces, marks, strict=True) for m in found]),
        main_passes=share([bool(t.passed) for t in labelled]),
        direct_passes=share([bool(t.passed) for t in answered]),
        speedups=quantiles([t.speedup for t in timed]),
        judge_seconds=quantiles([min(t.judge_seconds, _LONGEST) for t in timed]),
        validation_share=_VALIDATION_SHARE,
    )


def _lines(workload: Workload) -> str:
    """JSON with one field a line."""
    fields = (f" {msgspec.json.encode(k).decode()}: {msgspec.json.encode(v).decode()}"
              for k, v in msgspec.to_builtins(workload).items())
    return "{\n" + ",\n".join(fields) + "\n}\n"


def quantiles(values: Sequence[float]) -> tuple[float, ...]:
    ranked = sorted(values)
    return tuple(round(ranked[round(i / (_COUNT - 1) * (len(ranked) - 1))], 4) for i in range(_COUNT))


def share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 4)


if __name__ == "__main__":
    raise SystemExit(main())
