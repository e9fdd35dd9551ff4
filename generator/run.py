"""One run from its submission to its end: iterations in turn, as long as the budget lasts."""
from __future__ import annotations

import asyncio
import time

import msgspec

from common.background import background
from common.bus import Bus
from common.errors import UsageError
from common.logs import get_logger
from common.messages import PREFIX, IterationEnded, IterationStarted, RunEnded, RunStarted, RunSubmitted
from common.messages.facts import asked
from generator.budget import exhausted, seconds_left
from generator.ending import Ending
from generator.generations import Generations
from generator.inbox import Inbox
from generator.iteration import IterationDriver, close_iteration
from generator.llm import EndpointProblem
from generator.log import RunLog
from generator.replicas import Replicas
from generator.settings import GeneratorSettings
from generator.strategy import next_prompt
from generator.unless import Interrupted, unless

log = get_logger()


async def drive_run(
    bus: Bus, settings: GeneratorSettings, submitted: RunSubmitted, lost: asyncio.Event | None = None
) -> None:
    """Drive a run, new or begun by a generator that is gone, to its end. `lost`: its lease is, and nothing more is
    written."""
    run_log = await RunLog.load(bus, submitted.run, lost)
    if run_log.state.ended is None:
        await _drive(bus, settings, submitted, run_log)
    # What was asked of it is of no use any more, and its stream takes no more requests of any run once it is full.
    await bus.purge(f"{PREFIX}.cmd.{submitted.run}.>")


async def _drive(bus: Bus, settings: GeneratorSettings, submitted: RunSubmitted, run_log: RunLog) -> None:
    async with background() as tasks:
        inbox = Inbox()
        for patterns in (("cmd.{}.>",), ("res.validate.{}.>", "res.profile.{}.>"), ("ops.*.attempt.revoked",)):
            tasks.start(_read(bus, inbox, tuple(f"{PREFIX}.{p.format(submitted.run)}" for p in patterns)))
        await _Run(bus, settings, submitted, run_log, inbox).drive()


async def _read(bus: Bus, inbox: Inbox, patterns: tuple[str, ...]) -> None:
    """Everything stored, then what comes; the driver skips what its log shows as handled."""
    async with bus.follow(*patterns) as deliveries:
        async for delivery in deliveries:
            inbox.put_nowait(delivery)


class _Run:
    def __init__(
        self, bus: Bus, settings: GeneratorSettings, submitted: RunSubmitted, run_log: RunLog, inbox: Inbox
    ) -> None:
        self._bus = bus
        self._settings = settings
        self._submitted = submitted
        self._log = run_log
        self._state = run_log.state
        self._inbox = inbox

    async def drive(self) -> None:
        """A failure of the endpoint or of the task ends the run with the reason; the service goes on."""
        async with Replicas(self._submitted.llm, self._settings, self._state.run) as replicas, background() as looking:
            end = await self._probe(replicas)
            if end is None:
                looking.start(replicas.look_after(self._bus, self._state.run))
            await self._start(replicas.model)
            end = end or await self._iterations(replicas)
        await self._close_open(end)
        best = self._state.best()
        await self._log.record(
            RunEnded, reason=end.reason, cause=end.cause, best=best.proposed.candidate if best else None
        )
        log.info("run.ended", run=self._state.run, reason=end.reason, cause=end.cause)

    async def _probe(self, replicas: Replicas) -> Ending | None:
        """Why the run ends before its endpoint was of use, or None. It is waited for as long as the run may go on."""
        left = seconds_left(self._state, time.time()) if self._state.started else None
        try:
            await unless(self._inbox.cancelled, replicas.probe(), left)
        except EndpointProblem as problem:
            return Ending("failed", str(problem))
        except Interrupted:
            cancelled = self._inbox.cancelled.is_set()
            return Ending("cancelled", self._inbox.reason) if cancelled else Ending("seconds")
        return None

    async def _close_open(self, end: Ending) -> None:
        """What a former generator left open, and nobody goes on with, ends with the run."""
        number = len(self._state.iterations)
        if self._state.current is not None:
            reason, cause = (end.reason, end.cause) if end.reason in ("failed", "cancelled") else ("budget", end.reason)
            await self._log.record(IterationEnded, iteration=number, reason=reason, cause=cause, H=tuple(self._state.H))
        if number:
            await close_iteration(self._log, number)

    async def _start(self, model: str) -> None:
        """The first fact, with the model's name as the endpoint gives it; nothing where the run goes on."""
        s = self._submitted
        if self._state.started is None:
            await self._log.record(RunStarted, **asked(s) | {"llm": msgspec.structs.replace(s.llm, model=model)})
        log.info("run.driving", run=s.run, iterations=len(self._state.iterations), facts=self._state.n)

    async def _iterations(self, replicas: Replicas) -> Ending:
        try:
            return await self._until_exhausted(replicas)
        except (EndpointProblem, UsageError) as error:
            return Ending("failed", str(error))

    async def _until_exhausted(self, replicas: Replicas) -> Ending:
        if self._state.iterations and self._state.current is None:
            await close_iteration(self._log, len(self._state.iterations))
        while True:
            if self._state.current is None:
                if reason := exhausted(self._state, now=time.time(), tokens=self._state.tokens()):
                    return Ending(reason)
                await self._open_iteration()
            end = await self._drive_iteration(replicas)
            if end.reason in ("failed", "cancelled"):
                return end

    async def _open_iteration(self) -> None:
        prompt = next_prompt(self._state, token_limit=self._settings.prompt_tokens)
        number = len(self._state.iterations) + 1
        await self._log.record(IterationStarted, iteration=number, H=tuple(self._state.H), prompt=prompt)

    async def _drive_iteration(self, replicas: Replicas) -> Ending:
        number = len(self._state.iterations)
        generations = Generations(
            self._bus, replicas, self._settings, self._state.run, number, self._inbox
        )
        driver = IterationDriver(self._log, generations, self._inbox, self._settings.forks_per_iteration)
        end = await driver.drive()
        log.info("iteration.ended", run=self._state.run, iteration=number, reason=end.reason, cause=end.cause)
        return end
