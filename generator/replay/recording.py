"""A recording: what the model thought and answered in each iteration, as files a person can read.

    recording.toml          format, model, rate and, for each iteration, what its prompt must report
    1/reasoning.md          the reasoning, word for word
    1/answer.md             the answer after it; absent where the generation was cut in its reasoning
    1/fork-<offset>.md      the answer to a fork at <offset> characters of the reasoning, one fenced block
"""
from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec

from common.errors import UsageError
from generator.replay.tokens import CLOSING

FORMAT = 1
_FORK = re.compile(r"fork-(\d+)\.md")


class Iteration(msgspec.Struct, frozen=True, kw_only=True):
    reasoning: str
    answer: str | None
    """None where the generation was cut before it answered."""
    forks: tuple[tuple[int, str], ...] = ()
    """(characters of reasoning, text that follows the opening fence), by depth."""
    expects_any: tuple[str, ...] = ()
    """Outcomes of which the prompt must report at least one about the iteration before."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    rate: float
    """Tokens a second of every stream."""
    fence: str
    """Language tag of the fence that a fork's prompt opens."""
    task: str | None
    """Source of the task, which every prompt must hold; None where it is not known."""
    iterations: tuple[Iteration, ...]
    repeats: bool = False
    """Whether iterations beyond the last begin again with the first."""

    def iteration(self, number: int) -> Iteration | None:
        count = len(self.iterations)
        if number < 1 or (number > count and not self.repeats):
            return None
        return self.iterations[(number - 1) % count]


class _Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    expects_any: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    model: str
    rate: float
    fence: str = "python"
    task: str | None = None
    iterations: dict[str, _Expected] = {}


def load(path: Path) -> Recording:
    """The recording in a directory. UsageError, with the file at fault, where it is not one."""
    file = _read_toml(path / "recording.toml")
    numbers = sorted(int(child.name) for child in path.iterdir() if child.is_dir() and child.name.isdecimal())
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        raise UsageError(f"{path}: a recording has folders 1, 2, … without a gap, one for each iteration")
    if unknown := set(file.iterations) - set(map(str, numbers)):
        raise UsageError(f"{path / 'recording.toml'}: no folder for iteration {', '.join(sorted(unknown))}")
    return Recording(
        model=file.model,
        rate=file.rate,
        fence=file.fence,
        task=_read(path / file.task) if file.task else None,
        iterations=tuple(_iteration(path / str(n), file, file.iterations.get(str(n))) for n in numbers),
    )


def opening_fence(fence: str) -> str:
    return f"```{fence}\n"


def _read_toml(path: Path) -> _File:
    try:
        file = msgspec.convert(tomllib.loads(_read(path)), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: {error}") from None
    if file.format != FORMAT:
        raise UsageError(f"{path}: format {file.format} is not known, this version reads {FORMAT}")
    if not file.rate > 0:
        raise UsageError(f"{path}: rate must be above 0 tokens a second")
    return file


def _iteration(folder: Path, file: _File, expected: _Expected | None) -> Iteration:
    reasoning = _read(folder / "reasoning.md")
    if CLOSING in reasoning or reasoning[:1].isspace():
        raise UsageError(f"{folder / 'reasoning.md'}: must not begin with white space nor hold {CLOSING}")
    answer = folder / "answer.md"
    return Iteration(
        reasoning=reasoning,
        answer=_read(answer) if answer.exists() else None,
        forks=_forks(folder, opening_fence(file.fence), len(reasoning)),
        expects_any=expected.expects_any if expected else (),
    )


def _forks(folder: Path, opening: str, length: int) -> tuple[tuple[int, str], ...]:
    forks: list[tuple[int, str]] = []
    for path in folder.glob("fork-*.md"):
        name = _FORK.fullmatch(path.name)
        text = _read(path)
        if name is None or int(name[1]) > length:
            raise UsageError(f"{path}: the name is fork-<characters of reasoning>.md, of which there are {length}")
        if not text.startswith(opening):
            raise UsageError(f"{path}: begins with {opening.strip()}, the fence that the fork's prompt has opened")
        forks.append((int(name[1]), text[len(opening) :]))
    return tuple(sorted(forks))


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: a recording is described in docs/recordings.md") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
