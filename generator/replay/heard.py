"""What a proxy heard, sorted into a recording. Pure.

A request continues or forks an earlier one where its prompt extends that one's: prompt, then what was generated so far,
then, for a fork, the end of the thinking and an opened fence.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

from generator.extract import blocks
from generator.llm.profiles import Profile
from generator.llm.prompt import NOTES_CLOSE, NOTES_OPEN, channel_after

_NUMBER = re.compile(r"^Iteration (\d+) of \d+", re.MULTILINE)
_FENCE = re.compile(r"\s*(```[\w+#-]*\n)(.*)", re.DOTALL)


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One request and what came back."""

    user: str
    """The prompt as text; without the assistant's part where the request was a chat."""
    assistant: str
    """The assistant's message that a chat was to continue."""
    text: str
    """Everything generated, markers included."""
    finish_reason: str | None
    """None where the stream did not end by itself."""


@dataclass
class Main:
    """An iteration's main generation."""

    prompt: str
    text: str = ""
    finished: bool = False
    forks: dict[int, str] = field(default_factory=dict)
    """Fenced answers by characters of reasoning."""

    def channels(self, profile: Profile) -> tuple[str, str | None]:
        """(reasoning, answer); None for an answer that is missing or was cut."""
        thought, closed, answer = self.text.partition(profile.closing)
        opened = self.text.lstrip().startswith(profile.opening) or channel_after(self.prompt, profile) == "reasoning"
        if not closed and not opened:
            return "", self.text if self.finished else None
        return _thought(thought, profile), answer.lstrip("\n") if closed and self.finished else None


class Session:
    """The main generations heard so far, by iteration."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.mains: dict[int, Main] = {}

    def begin(self, user: str) -> None:
        """A request was sent. Forks end before the main generation they came from, so that one is known from here."""
        number = _number(user)
        if number is not None and not (number in self.mains and user.startswith(self.mains[number].prompt)):
            self.mains[number] = Main(user)

    def end(self, heard: Heard) -> int | None:
        """Sort in what a begun request brought; the number of the iteration that changed, or None."""
        number = _number(heard.user)
        main = None if number is None else self.mains.get(number)
        if main is None or not heard.user.startswith(main.prompt):
            return None
        if NOTES_OPEN in heard.user:
            changed = self._quoted(main, heard)
        else:
            changed = self._extended(main, heard.user[len(main.prompt) :] + heard.assistant, heard)
        return number if changed else None

    def _extended(self, main: Main, said: str, heard: Heard) -> bool:
        """A fork, or the main generation once more or from where it had got to."""
        before, closed, after = said.partition(self.profile.closing)
        fence = _FENCE.match(after) if closed and not main.text.startswith(said) else None
        if fence is None:
            main.text = said + heard.text
            main.finished = heard.finish_reason == "stop"
            return True
        ending = self.profile.close_with.partition(self.profile.closing)[0]
        depth = len(_thought(before.removesuffix(ending), self.profile))
        return _fork(main, depth, fence[1], fence[2] + heard.text, heard.finish_reason)

    def _quoted(self, main: Main, heard: Heard) -> bool:
        notes = heard.user.rpartition(NOTES_OPEN)[2].partition(NOTES_CLOSE)[0]
        found = [block for block in blocks(heard.text) if block.closed]
        if not found or heard.finish_reason != "stop":
            return False
        depth = len(_thought(notes, self.profile))
        main.forks[depth] = f"```{found[-1].tag}\n{found[-1].text}```\n"
        return True


def _number(user: str) -> int | None:
    named = _NUMBER.search(user)
    return int(named[1]) if named else None


def _fork(main: Main, depth: int, opening: str, code: str, finish_reason: str | None) -> bool:
    """A fork cut short is left out: played, it would look like a whole one."""
    if finish_reason != "stop":
        return False
    closed = any(block.closed for block in blocks(opening + code))
    # The client's stop text is a line break and a fence, which an engine leaves out.
    main.forks[depth] = opening + code + ("" if closed else "\n```\n")
    return True


def _thought(text: str, profile: Profile) -> str:
    """Reasoning without its opening marker, as recordings keep it."""
    return text.lstrip().removeprefix(profile.opening).lstrip()
