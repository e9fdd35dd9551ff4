"""Writes recordings: an iteration at a time as it is heard, or a whole one."""
from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from common.errors import UsageError
from generator.replay.heard import Session
from generator.replay.recording import FORMAT, Recording, opening_fence

FENCE = "python"


class Writer:
    """One directory. UsageError where it cannot be used."""

    def __init__(self, folder: Path, task: str | None, fence: str = FENCE) -> None:
        self.folder = folder
        self._task, self._fence = task, fence
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UsageError(f"{folder} is not empty: a recording gets a folder of its own")
            if task is not None:
                (folder / "task.py").write_text(task)
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {error.strerror}") from None

    def write(self, session: Session, number: int, *, model: str, rate: float) -> None:
        """The iteration that changed, and the description of the whole."""
        main = session.mains[number]
        reasoning, answer = main.channels(session.profile)
        self.write_iteration(number, reasoning, answer, main.forks.items())
        self.describe(model, rate)

    def write_iteration(
        self, number: int, reasoning: str, answer: str | None, forks: Iterable[tuple[int, str]]
    ) -> None:
        """In place of what was there. A fork is a depth and its answer, opening fence included; others are left out."""
        folder = self.folder / str(number)
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.md"):
            old.unlink()
        (folder / "reasoning.md").write_text(reasoning)
        if answer is not None:
            (folder / "answer.md").write_text(answer)
        for depth, text in forks:
            if depth <= len(reasoning) and text.startswith(opening_fence(self._fence)):
                (folder / f"fork-{depth}.md").write_text(text)

    def describe(self, model: str, rate: float) -> None:
        """`rate` is in tokens a second."""
        lines = [f"format = {FORMAT}", f"model = {json.dumps(model)}", f"rate = {rate:.1f}", f'fence = "{self._fence}"']
        lines += ['task = "task.py"'] if self._task is not None else []
        (self.folder / "recording.toml").write_text("\n".join([*lines, ""]))


def write_recording(folder: Path, recording: Recording) -> None:
    """Without what its prompts must report. UsageError where the folder cannot be used."""
    writer = Writer(folder, recording.task, recording.fence)
    opening = opening_fence(recording.fence)
    for number, iteration in enumerate(recording.iterations, start=1):
        forks = [(depth, opening + text) for depth, text in iteration.forks]
        writer.write_iteration(number, iteration.reasoning, iteration.answer, forks)
    writer.describe(recording.model, recording.rate)
