"""Which words answer a prompt: the heart of the replay. Pure.

The prompt says it all: its user's part names the iteration and reports the results so far, its assistant's part is
empty for a main generation, holds a prefix for one that goes on, and an ended thinking with an open fence for a fork.
"""
from __future__ import annotations

import re

import msgspec

from common.messages.tokens import Channel
from generator.extract import blocks
from generator.llm.prompt import NOTES_CLOSE, NOTES_OPEN
from generator.replay.recording import Iteration, Recording, opening_fence
from generator.replay.tokens import ASSISTANT, CLOSING, OPENING

_NUMBER = re.compile(r"^Iteration (\d+) of (\d+)", re.MULTILINE)
_MODEL = re.compile(r"^class\s+ModelNew\b", re.MULTILINE)
_BETWEEN = "\n\n"
"""Between the closing marker and the answer."""
NO_CANDIDATE = "# The reasoning so far holds no complete kernel.\n```\n"


class Refusal(Exception):
    """The prompt is not one that this recording answers; the reason goes to the client as HTTP 400."""


class Script(msgspec.Struct, frozen=True):
    """What to say."""

    text: str
    finish_reason: str
    kind: str
    """`main` or `fork`, for the statistics."""
    channel: Channel
    """Where it begins."""


def script(recording: Recording, prompt: str) -> Script:
    """The answer to a rendered prompt. Raises Refusal."""
    user, _, assistant = prompt.rpartition(ASSISTANT)
    iteration = asked_iteration(recording, user)
    if NOTES_OPEN in user:
        return _quoted_fork(recording, iteration, user)
    said = assistant.removeprefix(OPENING).removeprefix("\n")
    full = full_text(iteration)
    if full.startswith(said):
        finish = "length" if iteration.answer is None else "stop"
        return Script(full[len(said) :], finish, "main", "answer" if CLOSING in said else "reasoning")
    thought, closed, rest = said.partition(CLOSING)
    if not closed:
        raise Refusal("the assistant's part is no prefix of the recorded reasoning")
    return _fork(recording, iteration, thought, rest.lstrip("\n"))


def full_text(iteration: Iteration) -> str:
    """Everything a main generation says."""
    return iteration.reasoning + ("" if iteration.answer is None else CLOSING + _BETWEEN + iteration.answer)


def fork_text(iteration: Iteration, depth: int) -> str:
    """What follows the opened fence in a fork at `depth` characters: the recorded fork of greatest depth not beyond
    it, else the latest complete draft in the reasoning so far, else an honest nothing."""
    recorded = [text for at, text in iteration.forks if at <= depth]
    if recorded:
        return recorded[-1]
    drafts = [b.text for b in blocks(iteration.reasoning[:depth]) if b.closed and _MODEL.search(b.text)]
    return f"{drafts[-1]}```\n" if drafts else NO_CANDIDATE


def _fork(recording: Recording, iteration: Iteration, thought: str, answered: str) -> Script:
    """`answered` is the opened fence and, for a fork that goes on, the code so far."""
    # The client ends the thinking on a line of its own.
    depth = _depth(iteration, thought.removesuffix("\n"))
    opening = opening_fence(recording.fence)
    if not answered.startswith(opening):
        raise Refusal(f"a fork's prompt ends its thinking and opens the fence {opening.strip()}")
    text, so_far = fork_text(iteration, depth), answered[len(opening) :]
    if not text.startswith(so_far):
        raise Refusal("the assistant's part is no prefix of the recorded fork")
    return Script(text[len(so_far) :], "stop", "fork", "answer")


def _quoted_fork(recording: Recording, iteration: Iteration, user: str) -> Script:
    notes = user.rpartition(NOTES_OPEN)[2].partition(NOTES_CLOSE)[0]
    depth = _depth(iteration, notes)
    return Script(opening_fence(recording.fence) + fork_text(iteration, depth), "stop", "fork", "answer")


def _depth(iteration: Iteration, thought: str) -> int:
    """Characters of reasoning that a fork was given."""
    if not iteration.reasoning.startswith(thought):
        raise Refusal("the fork's thinking is no prefix of the recorded reasoning")
    return len(thought)


def asked_iteration(recording: Recording, user: str) -> Iteration:
    """The iteration that a prompt asks for. Raises Refusal where it asks for none, or reports too little."""
    named = _NUMBER.search(user)
    if named is None:
        raise Refusal("the prompt names no iteration (a line `Iteration <k> of <n>`)")
    number = int(named[1])
    iteration = recording.iteration(number)
    if iteration is None:
        raise Refusal(f"the recording has {len(recording.iterations)} iterations, the prompt asks for {number}")
    if recording.task is not None and _squeezed(recording.task) not in _squeezed(user):
        raise Refusal("the prompt lacks the source of the task that was recorded")
    if number > 1:
        _check_results(user, number - 1, iteration.expects_any)
    return iteration


def _check_results(user: str, number: int, expects_any: tuple[str, ...]) -> None:
    section = re.search(rf"^## Results of iteration {number}\n((?:- [^\n]*(?:\n|\Z))+)", user, re.MULTILINE)
    if section is None:
        raise Refusal(f"the prompt lacks the section `## Results of iteration {number}` with a line for each candidate")
    outcomes = set(re.findall(r"^- [^\n:]*: ([a-z_]+)", section[1], re.MULTILINE))
    if expects_any and not outcomes & set(expects_any):
        raise Refusal(f"the results of iteration {number} report none of {', '.join(expects_any)}")


def _squeezed(text: str) -> str:
    return " ".join(text.split())
