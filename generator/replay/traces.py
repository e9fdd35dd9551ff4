"""Recordings out of trace files: gzip'd JSON lines, one generation a line, with its `thinking` and `answer`.

Named `FILE.jsonl.gz#TASK_ID` or `FILE.jsonl.gz#INDEX` (from 0). Iteration 1 is the record named, or the task's first;
further iterations play the task's next records and begin again after the last.
"""
from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import msgspec

from common.errors import UsageError
from generator.replay.recording import Iteration, Recording
from generator.replay.tokens import CLOSING

RATE = 50.0
"""Tokens a second: what one reasoning stream of a large model typically gets; a trace does not say."""


class _Trace(msgspec.Struct, frozen=True):
    model: str
    task_id: str
    thinking: str
    answer: str
    task_source: str | None = None
    trace_complete: bool = True


def is_trace(name: str) -> bool:
    return name.partition("#")[0].endswith(".jsonl.gz")


def load_trace(name: str) -> Recording:
    """The recording of one task of a trace file. UsageError where the file or the selector is wrong."""
    file, _, selector = name.partition("#")
    traces = _read(Path(file))
    if not selector:
        raise UsageError(f"{file} holds {len(traces)} traces: name one as {file}#TASK_ID or {file}#INDEX")
    start = _find(file, traces, selector)
    task = traces[start].task_id
    of_task = [t for t in itertools.chain(traces[start:], traces[:start]) if t.task_id == task]
    return Recording(
        model=of_task[0].model,
        rate=RATE,
        fence="python",
        task=of_task[0].task_source,
        iterations=tuple(map(_iteration, of_task)),
        repeats=True,
    )


def _iteration(trace: _Trace) -> Iteration:
    reasoning = trace.thinking.replace(CLOSING, "").lstrip()
    return Iteration(reasoning=reasoning, answer=trace.answer if trace.trace_complete else None)


def _find(file: str, traces: list[_Trace], selector: str) -> int:
    if selector.isdecimal():
        if int(selector) < len(traces):
            return int(selector)
        raise UsageError(f"{file} holds {len(traces)} traces, there is no #{selector}")
    for index, trace in enumerate(traces):
        if trace.task_id == selector:
            return index
    some = ", ".join(sorted({trace.task_id for trace in traces})[:5])
    raise UsageError(f"{file} has no trace of task {selector}; it has {some}, …")


def _read(path: Path) -> list[_Trace]:
    decoder = msgspec.json.Decoder(_Trace)
    try:
        with gzip.open(path, "rb") as lines:
            return [decoder.decode(line) for line in lines if line.strip()]
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist") from None
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise UsageError(f"{path} is no file of traces: {error}") from None
