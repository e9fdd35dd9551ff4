"""The generations of one iteration: started, granted as forks, resumed, ended."""
from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from common.background import end_all
from common.bus import Bus
from common.logs import get_logger
from common.messages import Placement, TokenJournal, pattern
from generator.generation import FORK_PRIORITY, MAIN_PRIORITY, Finished, Generation
from generator.llm import FORK, Endpoint, EndpointProblem, Prompt, Sampling
from generator.replicas import AWAY, Replicas, Seat, Site
from generator.settings import GeneratorSettings
from generator.transcript import CHARS_PER_TOKEN, Transcript

log = get_logger()
T = TypeVar("T")
MAIN = "main"


@dataclass(frozen=True)
class Done:
    """A generation ended: by itself, or with a problem of the endpoint."""

    iteration: int
    name: str
    finished: Finished | None
    problem: str = ""


@dataclass(frozen=True)
class Moved:
    """A generation goes on at another replica, from the token it has got to."""

    iteration: int
    name: str
    at_token: int
    placement: Placement | None


class Generations:
    """Each one that ends puts a `Done` into `inbox`, each that goes on elsewhere a `Moved`."""

    def __init__(
        self, bus: Bus, replicas: Replicas, settings: GeneratorSettings, run: str, iteration: int,
        inbox: asyncio.Queue[object],
    ) -> None:
        self._bus = bus
        self._replicas = replicas
        self._settings = settings
        self._run = run
        self._iteration = iteration
        self._inbox = inbox
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.running: dict[str, Generation] = {}

    async def start_main(self, text: str, before: Placement | None) -> tuple[int | None, Placement | None]:
        """Start the main generation, or go on with what the journal holds; then the token it goes on from.

        `before`: where a former generator had it, and its prefix may be cached.
        """
        transcript = Transcript(self._run, self._iteration, MAIN)
        transcript.restore(await self._journal(MAIN))
        s = self._settings
        seat, prompt = await self._seated(
            lambda endpoint: endpoint.open_prompt([{"role": "user", "content": text}]),
            sum(transcript.token_counts()), home=self._replicas.site(before.replica) if before else None,
            patience=s.endpoint_seconds,
        )
        sampling = Sampling(max_tokens=s.max_tokens, temperature=s.temperature, top_p=s.top_p)
        self._start(MAIN, seat, transcript, prompt, sampling, MAIN_PRIORITY)
        self._replicas.home = seat.site
        return sum(transcript.token_counts()) if transcript.chars else None, seat.placement

    async def start_fork(self, name: str, at_token: int | None, at_char: int) -> Placement | None:
        """Fork the main generation at a position. ValueError where it cannot be forked there."""
        main = self.running.get(MAIN)
        if main is None:
            raise ValueError("the reasoning has ended")
        text, ids = main.transcript.cut(at_token, at_char)
        prefix = len(main.prompt.token_ids or ()) + (len(text) // CHARS_PER_TOKEN if ids is None else len(ids))
        seat, prompt = await self._seated(
            lambda endpoint: endpoint.fork_prompt(main.prompt, text=text, token_ids=ids),
            prefix, home=main.seat.site, patience=0.0,
        )
        await main.journal()
        s = self._settings
        sampling = Sampling(
            max_tokens=s.fork_max_tokens, temperature=s.fork_temperature, top_p=s.fork_top_p, stop=FORK.stop
        )
        self._start(name, seat, Transcript(self._run, self._iteration, name), prompt, sampling, FORK_PRIORITY)
        return seat.placement

    async def _seated(
        self, ask: Callable[[Endpoint], Awaitable[T]], tokens: int, *, home: Site | None, patience: float
    ) -> tuple[Seat, T]:
        """Where a generation behind a prefix of that length goes, and what was asked of the endpoint there. A replica
        that is away is passed over; where all are, they are asked again for `patience` seconds."""
        until, tried = time.monotonic() + patience, list[Site]()
        seat = self._replicas.place(tokens, home=home)
        assert seat is not None, "probed replicas have one that can be used"
        while True:
            try:
                return seat, await ask(seat.endpoint)
            except AWAY as problem:
                if not self._replicas.several:
                    raise
                log.warning("replica.away", url=seat.site.url, reason=str(problem))
                self._replicas.failed(seat.site)
                tried.append(seat.site)
                another = self._replicas.place(tokens, home=home, besides=tried)
                if another is None and time.monotonic() >= until:
                    raise
                if another is None:
                    tried.clear()
                seat = another or seat

    def tokens(self) -> int:
        """Tokens generated so far by generations that still run."""
        return sum(sum(g.transcript.token_counts()) for g in self.running.values())

    def ended(self, name: str) -> Generation:
        self._tasks.pop(name)
        return self.running.pop(name)

    async def abort_one(self, name: str) -> Generation | None:
        """End one, which stays journaled; None where it has ended by itself."""
        task = self._tasks.get(name)
        if task is None or task.done():
            return None
        await end_all([task])
        return self.ended(name) if task.cancelled() else None

    async def abort(self) -> list[Generation]:
        """End all that run; closing a connection aborts its request at the engine. They stay journaled."""
        await end_all(self._tasks.values())
        aborted = list(self.running.values())
        self._tasks.clear()
        self.running.clear()
        return aborted

    def _start(
        self, name: str, seat: Seat, transcript: Transcript, prompt: Prompt, sampling: Sampling, priority: int
    ) -> None:
        generation = Generation(
            self._bus, self._replicas, seat, self._settings, transcript, prompt, sampling, priority,
            lambda: self._moved(name),
        )
        self.running[name] = generation
        task = self._tasks[name] = asyncio.create_task(self._run_one(name, generation))
        task.add_done_callback(self._report_bug)

    def _moved(self, name: str) -> None:
        generation = self.running[name]
        if name == MAIN:
            self._replicas.home = generation.seat.site
        at_token = sum(generation.transcript.token_counts())
        self._inbox.put_nowait(Moved(self._iteration, name, at_token, generation.seat.placement))

    def _report_bug(self, task: asyncio.Task[None]) -> None:
        """What is no problem of the endpoint must not end in silence: the driver raises it."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._inbox.put_nowait(error)

    async def _run_one(self, name: str, generation: Generation) -> None:
        try:
            done = Done(self._iteration, name, await generation.run())
        except EndpointProblem as problem:
            done = Done(self._iteration, name, None, str(problem))
        self._inbox.put_nowait(done)

    async def _journal(self, name: str) -> list[TokenJournal]:
        subject = pattern(TokenJournal, run=self._run, iteration=self._iteration, generation=name)
        return [d.message for d in await self._bus.history(subject) if isinstance(d.message, TokenJournal)]
