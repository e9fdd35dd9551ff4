"""Knows the recordings, and finds the words of each request with the engine's own tokenizer."""
from __future__ import annotations

from collections.abc import Sequence

from bench.engine.client import Client
from bench.replayed.words import Ids, Main, cut, left, parent
from generator.generation import MAIN_PRIORITY
from generator.llm.profiles import profile_for
from generator.replay.recording import Iteration, Recording, opening_fence
from generator.replay.script import Refusal, asked_iteration, fork_text, full_text


class Player:
    """Of one engine. Recordings are told apart by their tasks."""

    def __init__(self, client: Client, recordings: Sequence[Recording]) -> None:
        self._client = client
        self._recordings = recordings
        self._begun: list[Main] = []
        self._tokens: dict[str, Ids] = {}

    async def words(self, prompt: Ids, priority: int) -> Ids:
        """Ids that a request with this prompt is to say. Refusal, with the reason, where none were recorded for it."""
        main = parent(self._begun, prompt)
        if priority == MAIN_PRIORITY:
            main = main or await self._begin(prompt)
            return left(main.words, prompt[len(main.prompt) :])
        if main is None:
            raise Refusal("the fork's main generation was never begun")
        at = cut(main, prompt, await self._suffix())
        depth = len(await self._client.detokenize(main.words[: at.thought]))
        return left(await self._ids(fork_text(main.iteration, depth)), at.answered)

    async def length(self, iteration: Iteration) -> int:
        """Tokens of a main generation that is not stopped, without the one that ends it."""
        return len(await self._ids(full_text(iteration)))

    async def _begin(self, prompt: Ids) -> Main:
        iteration = self._asked(await self._client.detokenize(prompt))
        main = Main(prompt=prompt, words=await self._ids(full_text(iteration)), iteration=iteration)
        self._begun.append(main)
        return main

    def _asked(self, text: str) -> Iteration:
        refusals = []
        for recording in self._recordings:
            try:
                return asked_iteration(recording, text)
            except Refusal as refusal:
                refusals.append(str(refusal))
        raise Refusal("; ".join(dict.fromkeys(refusals)))

    async def _suffix(self) -> Ids:
        return await self._ids(profile_for(self._client.model).close_with + opening_fence("python"))

    async def _ids(self, text: str) -> Ids:
        if text not in self._tokens:
            self._tokens[text] = tuple(await self._client.tokenize(text))
        return self._tokens[text]
