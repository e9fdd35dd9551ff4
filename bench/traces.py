"""Recorded reasoning traces and candidates: where they are, what is in a record, how tasks are split.

The recordings are third-party material used in place, where they lie beside the project; nothing of them is kept in it.
A benchmark without them says so and ends. Format: gzip'd JSON lines, one record a generation.
"""
from __future__ import annotations

import gzip
import hashlib
import json
import random
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from common.errors import UsageError

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "traces"
REASONING = ("reasoning_qwq32b_cuda.jsonl.gz", "reasoning_gptoss120b_glm45air_triton.jsonl.gz")
ENDLESS = ("reasoning_qwq32b_cuda_truncated.jsonl.gz", "reasoning_degenerate_loops.jsonl.gz")
DIRECT = ("direct_qwq32b_cuda.jsonl.gz",)
TIMED = ("candidates_gpt51_triton.jsonl.gz",)
_UNLABELLED = "unknown_build_or_race"
LENGTHS = range(1_500, 4_501)
"""Tokens of reasoning, by the recording's own count: a GPU host is had for minutes."""


class Mark(msgspec.Struct, frozen=True):
    """Where in the reasoning a kernel's body or a full fenced candidate ends, as the recording's maker found it."""

    kind: str
    start: int
    end: int


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded generation."""

    id: str
    task: str
    model: str
    task_source: str = ""
    thinking: str
    answer: str = ""
    tokens: int
    """Of the reasoning."""
    answer_tokens: int
    kernel: str
    passed: bool | None
    """None where the record's outcome is no label."""
    speedup: float | None
    complete: bool
    degenerate: bool
    marks: tuple[Mark, ...]
    assemblable: int | None
    """First character at which a kernel and its host wrapper are both complete."""

    @property
    def chars_per_token(self) -> float:
        return len(self.thinking) / max(1, self.tokens)

    def token_at(self, char: int) -> int:
        """Tokens up to a character, by the trace's mean length of a token (token boundaries are not recorded)."""
        return round(char / self.chars_per_token)


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded candidate with how fast it is and how long judging it took."""

    task: str
    speedup: float
    judge_seconds: float


def default_files(names: Iterable[str]) -> list[Path]:
    return [FOLDER / name for name in names if (FOLDER / name).exists()]


def load(files: Iterable[Path]) -> list[Trace]:
    """Every record of the files; UsageError where one is missing or not of this format."""
    return [_trace(path, n, record) for path in files for n, record in enumerate(records(path))]


def load_timed(files: Iterable[Path]) -> list[Timed]:
    """The candidates that passed and were timed."""
    found = []
    for path in files:
        for record in records(path):
            outcome = record.get("outcome") or {}
            if outcome.get("correct") and outcome.get("speedup") and outcome.get("validate_bench_s"):
                found.append(Timed(
                    task=record["task_id"], speedup=outcome["speedup"], judge_seconds=outcome["validate_bench_s"]
                ))
    return found


def reports_on(task: str) -> bool:
    """Half of the tasks is for fitting, the other half for reporting; a task's name decides which."""
    return hashlib.sha256(task.encode()).digest()[0] % 2 == 1


def choose(
    kept: Iterable[Trace], *, runs: int, iterations: int, seed: int, lengths: range = LENGTHS
) -> list[list[Trace]]:
    """Runs of several samples of one task each, whose reasoning has so many tokens; drawn by a seed.

    Only of tasks that are for reporting. UsageError where no task has enough samples.
    """
    by_task: dict[str, list[Trace]] = defaultdict(list)
    for trace in kept:
        fits = trace.complete and trace.passed is not None and trace.tokens in lengths and trace.kernel
        if fits and reports_on(trace.task):
            by_task[trace.task].append(trace)
    tasks = sorted(task for task, samples in by_task.items() if len(samples) >= iterations)
    if not tasks:
        raise UsageError(
            f"no task has {iterations} samples of {lengths.start} to {lengths.stop - 1} tokens: ask for other lengths"
        )
    draw = random.Random(seed)
    return [draw.sample(by_task[task], iterations) for task in draw.sample(tasks, min(runs, len(tasks)))]


def records(path: Path) -> list[dict[str, Any]]:
    """The records of a file as they are."""
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"cannot read {path} as (gzip'd) JSON lines: {error}") from None


def _trace(path: Path, n: int, record: dict[str, Any]) -> Trace:
    try:
        stats, outcome = record["stats"], record.get("outcome") or {}
        kind = outcome.get("kind")
        thinking = record["thinking"]
        first = stats.get("pos_first_assemblable")
        return Trace(
            id=f"{path.name}:{n}", task=record["task_id"], model=record["model"],
            task_source=record.get("task_source") or "", thinking=thinking, answer=record.get("answer") or "",
            tokens=stats["tok_thinking"], answer_tokens=stats["tok_answer"], kernel=record.get("kernel") or "",
            passed=None if kind == _UNLABELLED else bool(outcome.get("correct")), speedup=outcome.get("speedup"),
            complete=bool(record.get("trace_complete")), degenerate=record.get("cls") == "degenerate_loop",
            marks=tuple(Mark(m["kind"], m["start"], m["end"]) for m in record.get("marks", ())),
            assemblable=None if first is None else round(first * len(thinking)),
        )
    except (KeyError, TypeError) as error:
        raise UsageError(f"record {n} of {path} is not a trace: {type(error).__name__} {error}") from None
