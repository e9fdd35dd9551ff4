"""The files a run leaves in its folder."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from common.messages import CandidateDuplicated, CandidateProposed, CandidateSettled, Message, ResultAccepted
from common.report import events as event_file
from common.report.events import started
from common.report.page import render
from common.report.summary import Summary, summarise


def write_folder(folder: Path, events: Sequence[Message]) -> Summary:
    """`task.py`, `best.py`, `report.md`, `summary.json`, `events.jsonl`, and each candidate's source and record."""
    folder.mkdir(parents=True, exist_ok=True)
    event_file.write(folder / "events.jsonl", events)
    summary = summarise(events)
    _json(folder / "summary.json", summary)
    (folder / "report.md").write_text(render(summary, events))
    (folder / "task.py").write_text(started(events).task.source)
    sources = {e.candidate: e.source for e in events if isinstance(e, CandidateProposed)}
    if summary.best:
        (folder / "best.py").write_text(sources[summary.best.candidate])
    _candidates(folder / "candidates", events, sources)
    return summary


def _candidates(folder: Path, events: Sequence[Message], sources: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for candidate, source in sources.items():
        (folder / f"{candidate}.py").write_text(source)
        record = [msgspec.to_builtins(e) | {"event": type(e).__name__} for e in events if _about(e, candidate)]
        _json(folder / f"{candidate}.json", record)


def _about(event: Message, candidate: str) -> bool:
    if isinstance(event, CandidateDuplicated):
        return event.duplicate_of == candidate
    return isinstance(event, ResultAccepted | CandidateSettled) and event.candidate == candidate


def _json(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
