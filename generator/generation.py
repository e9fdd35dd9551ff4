"""One LLM call: streams it to readers, journals it, goes on from its prefix when the endpoint breaks it off.

Where there are several replicas it goes on at another one.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from common.bus import Bus, StreamFull
from common.logs import get_logger
from generator.llm import CannotContinue, EndpointProblem, Prompt, Sampling, StreamBroken, Usage
from generator.replicas import AWAY, Replicas, Seat
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
    """`prompt` starts it from nothing; what a former generator had produced is in `transcript` already. `moved` is
    called when it goes on at another replica."""

    def __init__(
        self, bus: Bus, replicas: Replicas, seat: Seat, settings: GeneratorSettings, transcript: Transcript,
        prompt: Prompt, sampling: Sampling, priority: int, moved: Callable[[], None],
    ) -> None:
        self.transcript = transcript
        self.prompt = prompt
        self.seat = seat
        self.usage: Usage | None = None
        self.started = time.monotonic()
        self._bus = bus
        self._replicas = replicas
        self._moved = moved
        self._settings = settings
        self._sampling = sampling
        self._priority = priority
        self._journal_due = time.monotonic() + settings.journal_seconds

    async def run(self) -> Finished:
        """Stream to the end. Raises an EndpointProblem where the endpoint gives up for good."""
        breaks, progress = 0, time.monotonic()
        while True:
            got = self.transcript.chars
            try:
                with self._replicas.at(self.seat.site):
                    return await self._stream(await self._continuation())
            except AWAY as problem:
                if self.transcript.chars > got:
                    breaks, progress = 0, time.monotonic()
                breaks += isinstance(problem, StreamBroken)
                if breaks > self._settings.retries or not self._patient(problem, progress):
                    raise
                log.warning("generation.broken", generation=self.transcript.generation, reason=str(problem))
                await self.journal()
                self._elsewhere()

    def _patient(self, problem: EndpointProblem, progress: float) -> bool:
        """A single endpoint has been waited for already when it counts as away; of several another may be there."""
        if isinstance(problem, StreamBroken):
            return True
        return self._replicas.several and time.monotonic() - progress < self._settings.endpoint_seconds

    def _elsewhere(self) -> None:
        """Of several replicas, the one that goes on soonest without the one that failed; that one where it is alone."""
        self._replicas.failed(self.seat.site)
        tokens = len(self.prompt.token_ids or ()) + sum(self.transcript.token_counts())
        seat = self._replicas.place(tokens, home=self.seat.site, besides=(self.seat.site,))
        if seat is not None and seat.site is not self.seat.site:
            self.seat = seat
            self._moved()

    async def _continuation(self) -> Prompt:
        """The prompt as it is, or with what was generated so far. Some endpoints can only start again."""
        text = self.transcript.text
        if not text:
            return self.prompt
        try:
            return await self.seat.endpoint.resume_prompt(self.prompt, text=text, token_ids=self.transcript.ids)
        except CannotContinue:
            log.warning("generation.restarted", generation=self.transcript.generation, lost_chars=len(text))
            self.transcript.start_over()
            return self.prompt

    async def _stream(self, prompt: Prompt) -> Finished:
        asked, began = time.monotonic(), None
        async with aclosing(self.seat.endpoint.generate(prompt, self._left(), priority=self._priority)) as pieces:
            async for piece in pieces:
                began = began or time.monotonic()
                if piece.text or piece.token_ids:
                    await self._bus.emit(self.transcript.add(piece, time.time()))
                if time.monotonic() >= self._journal_due:
                    await self.journal()
                if piece.finish_reason:
                    self.usage = piece.usage
                    self._show(began - asked)
                    return Finished(piece.finish_reason, piece.usage)
        raise StreamBroken("the stream ended without a finish reason")

    def _show(self, seconds: float) -> None:
        """Forks wait behind others and find their prefix cached: only a main generation shows what computing costs."""
        if self.usage is not None and self.usage.cached is not None and self._priority == MAIN_PRIORITY:
            self._replicas.computed(self.usage.prompt - self.usage.cached, seconds)

    def _left(self) -> Sampling:
        """What was generated before counts towards the limit."""
        done = sum(self.transcript.token_counts())
        return msgspec.structs.replace(self._sampling, max_tokens=max(1, self._sampling.max_tokens - done))

    async def journal(self) -> None:
        """Write what is new to disk. Where that takes no more it is kept for the next time: the generation goes on."""
        self._journal_due = time.monotonic() + self._settings.journal_seconds
        try:
            while (entry := self.transcript.journal_entry()) is not None:
                await self._bus.record(entry)
                self.transcript.journaled(entry)
        except StreamFull as error:
            log.warning("journal.refused", generation=self.transcript.generation, reason=str(error))

    def seconds(self) -> float:
        return time.monotonic() - self.started
