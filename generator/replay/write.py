"""Writes what was heard as a recording."""
from __future__ import annotations

import json
from pathlib import Path

from common.errors import UsageError
from generator.llm.profiles import Profile
from generator.replay.heard import Main, Session
from generator.replay.recording import FORMAT

FENCE = "python"


class Writer:
    """One directory. UsageError where it cannot be used."""

    def __init__(self, folder: Path, task: str | None) -> None:
        self.folder = folder
        self._task = task
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
        folder = self.folder / str(number)
        folder.mkdir(exist_ok=True)
        _write_iteration(folder, session.mains[number], session.profile)
        (self.folder / "recording.toml").write_text(self._description(model, rate))

    def _description(self, model: str, rate: float) -> str:
        lines = [f"format = {FORMAT}", f"model = {json.dumps(model)}", f"rate = {rate:.1f}", f'fence = "{FENCE}"']
        return "\n".join([*lines, *(['task = "task.py"'] if self._task is not None else []), ""])


def _write_iteration(folder: Path, main: Main, profile: Profile) -> None:
    for old in folder.glob("*.md"):
        old.unlink()
    reasoning, answer = main.channels(profile)
    (folder / "reasoning.md").write_text(reasoning)
    if answer is not None:
        (folder / "answer.md").write_text(answer)
    for depth, text in main.forks.items():
        if depth <= len(reasoning) and text.startswith(f"```{FENCE}\n"):
            (folder / f"fork-{depth}.md").write_text(text)
