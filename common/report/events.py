"""A run's events as a file: one JSON object a line, the run's log and the device facts of its period."""
from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from common.bus import Bus
from common.errors import UsageError
from common.messages import PREFIX, Fact, Message, message_type
from common.messages.facts import RunEnded, RunStarted


async def collect(bus: Bus, run: str) -> list[Message]:
    """Every fact of the run, then the device facts between its first and its last."""
    facts = [d.message for d in await bus.history(f"{PREFIX}.evt.{run}.>") if isinstance(d.message, Fact)]
    facts = list(once(facts))
    if not facts:
        raise UsageError(f"no run {run} is stored here; `specgen status` lists runs")
    ended = next((fact.at for fact in facts if isinstance(fact, RunEnded)), float("inf"))
    began = datetime.fromtimestamp(facts[0].at, UTC)
    devices = [d.message for d in await bus.history(f"{PREFIX}.ops.>", since=began) if d.message is not None]
    return [*facts, *(m for m in devices if facts[0].at <= getattr(m, "at", 0.0) <= ended)]


def once(facts: Iterable[Fact]) -> Iterator[Fact]:
    """Facts in order, without those published a second time."""
    seen = 0
    for fact in facts:
        if fact.n > seen:
            seen = fact.n
            yield fact


def write(path: Path, events: Iterable[Message]) -> None:
    """Replaces the file in one step: the former one may be all that is left of a run, and the disk be full."""
    lines = (msgspec.json.encode({"subject": e.subject(), "message": _json(msgspec.to_builtins(e))}) for e in events)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(b"\n".join(lines) + b"\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _json(value: Any) -> Any:
    """JSON has no number for what a wrong kernel may return: it is written as "nan", "inf" or "-inf"."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def read(path: Path) -> list[Message]:
    """The events of a file. UsageError naming the line that is not one."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return [_line(path, number, line) for number, line in enumerate(lines, 1) if line]


def _line(path: Path, number: int, line: bytes) -> Message:
    try:
        value: dict[str, Any] = msgspec.json.decode(line)
        kind = message_type(value["subject"])
        if kind is None:
            raise UsageError(f"{path}:{number}: no message has the subject {value['subject']}")
        return msgspec.convert(value["message"], kind, strict=False)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise UsageError(f"{path}:{number}: not an event: {error}") from None


def started(events: Iterable[Message]) -> RunStarted:
    for event in events:
        if isinstance(event, RunStarted):
            return event
    raise UsageError("these events hold no run.started: they are not a run's")
