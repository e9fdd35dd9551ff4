"""One LLM call: streams it to readers, journals it, goes on from its prefix when the endpoint breaks it off."""
from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from common.bus import Bus
from common.logs import get_logger
from generator.llm import CannotContinue, Endpoint, Prompt, Sampling, StreamBroken, Usage
from generator.settings import GeneratorSettings
from generator.transcript import Transcript

log = get_logger()
MAIN_PRIORITY, FORK_PRIORITY = 0, 1
"""Lower is earlier at an engine with priority scheduling: forks never hold up the reasoning."""


@dataclass
class Finished:
    """How a generation ended by itself."""

    reason: str
    usage: Usage | None


class Generation:
    """`prompt` starts it from nothing; what a former generator had produced is in `transcript` already."""

    def __init__(
        self, bus: Bus, endpoint: Endpoint, settings: GeneratorSettings, transcript: Transcript, prompt: Prompt,
        sampling: Sampling, priority: int,
    ) -> None:
        self.transcript = transcript
        self.prompt = prompt
        self.usage: Usage | None = None
        self.started = time.monotonic()
        self._bus = bus
        self._endpoint = endpoint
        self._settings = settings
        self._sampling = sampling
        self._priority = priority
        self._journal_due = time.monotonic() + settings.journal_seconds

    async def run(self) -> Finished:
        """Stream to the end. Raises an EndpointProblem where the endpoint gives up for good."""
        failures = 0
        while True:
            got = self.transcript.chars
            try:
                return await self._stream(await self._continuation())
            except StreamBroken as problem:
                failures = 1 if self.transcript.chars > got else failures + 1
                if failures > self._settings.retries:
                    raise
                log.warning("generation.broken", generation=self.transcript.generation, reason=str(problem))
                await self.journal()

    async def _continuation(self) -> Prompt:
        """The prompt as it is, or with what was generated so far. Some endpoints can only start again."""
        text = self.transcript.text
        if not text:
            return self.prompt
        try:
            return await self._endpoint.resume_prompt(self.prompt, text=text, token_ids=self.transcript.ids)
        except CannotContinue:
            log.warning("generation.restarted", generation=self.transcript.generation, lost_chars=len(text))
            self.transcript.start_over()
            return self.prompt

    async def _stream(self, prompt: Prompt) -> Finished:
        async with aclosing(self._endpoint.generate(prompt, self._left(), priority=self._priority)) as pieces:
            async for piece in pieces:
                if piece.text or piece.token_ids:
                    await self._bus.emit(self.transcript.add(piece, time.time()))
                if time.monotonic() >= self._journal_due:
                    await self.journal()
                if piece.finish_reason:
                    self.usage = piece.usage
                    return Finished(piece.finish_reason, piece.usage)
        raise StreamBroken("the stream ended without a finish reason")

    def _left(self) -> Sampling:
        """What was generated before counts towards the limit."""
        done = sum(self.transcript.token_counts())
        return msgspec.structs.replace(self._sampling, max_tokens=max(1, self._sampling.max_tokens - done))

    async def journal(self) -> None:
        """Write what is new to disk."""
        self._journal_due = time.monotonic() + self._settings.journal_seconds
        entry = self.transcript.journal_entry()
        if entry is not None:
            await self._bus.record(entry)

    def seconds(self) -> float:
        return time.monotonic() - self.started
