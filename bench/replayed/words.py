"""Which words a request is to say, in the engine's own tokens. Pure.

A prompt tells: a main generation's is new, or goes on from the prompt of one that was begun and what it has said; a
fork's does so too, and then ends the thinking and opens a fence.
"""
from __future__ import annotations

from collections.abc import Iterable

import msgspec

from generator.replay.recording import Iteration
from generator.replay.script import Refusal

Ids = tuple[int, ...]


class Main(msgspec.Struct, frozen=True, kw_only=True):
    """A main generation that was begun."""

    prompt: Ids
    words: Ids
    """All it is to say: the reasoning, the marker that ends it and the answer."""
    iteration: Iteration


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Where a fork leaves its main generation."""

    thought: int
    """Tokens of the main generation before it."""
    answered: Ids
    """What the fork itself has said already, where it goes on."""


def parent(begun: Iterable[Main], prompt: Ids) -> Main | None:
    """The main generation whose prompt this one begins with; of several the one with the longest."""
    fitting = [main for main in begun if prompt[: len(main.prompt)] == main.prompt]
    return max(fitting, key=lambda main: len(main.prompt), default=None)


def left(words: Ids, said: Ids) -> Ids:
    """What is still to be said. Refusal where `said` is no beginning of `words`."""
    if words[: len(said)] != said:
        raise Refusal("the prompt goes on from something that was not recorded")
    return words[len(said) :]


def cut(main: Main, prompt: Ids, suffix: Ids) -> Cut:
    """Of a fork's prompt that begins with `main.prompt`. `suffix` ends the thinking and opens the fence.

    Refusal where what comes before the suffix is not what the main generation says.
    """
    rest = prompt[len(main.prompt) :]
    same = next((n for n, (a, b) in enumerate(zip(rest, main.words, strict=False)) if a != b), len(main.words))
    # The reasoning may go on as the suffix begins, so that the two agree a little beyond the cut.
    for thought in range(min(same, len(rest)), -1, -1):
        if rest[thought : thought + len(suffix)] == suffix:
            return Cut(thought=thought, answered=rest[thought + len(suffix) :])
    raise Refusal("the fork is no cut of the recorded reasoning with its thinking ended and a fence opened")
