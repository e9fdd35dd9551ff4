"""One iteration: the main generation, the forks granted, the candidates proposed, the results accepted, the one end."""
from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any, TypeVar

from common.bus import Delivery
from common.logs import get_logger
from common.messages import (
    AbortRequest,
    AttemptRevoked,
    CancelRun,
    Fact,
    ForkRequest,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    Profile,
    RequestIgnored,
    Stage,
    StopRequest,
    Verdict,
)
from generator.accept import close_out, judge_result, settle
from generator.budget import seconds_left
from generator.ending import Ending, ending, next_look
from generator.extract import extract
from generator.generation import Generation
from generator.generations import MAIN, Done, Generations, Moved
from generator.inbox import Inbox
from generator.llm import EndpointProblem
from generator.log import RunLog
from generator.propose import name_of, propose
from generator.unless import Interrupted, unless

log = get_logger()
T = TypeVar("T")


class IterationDriver:
    """Drives the open iteration of a run from wherever it is to its end."""

    def __init__(
        self, run_log: RunLog, generations: Generations, inbox: Inbox, forks_per_iteration: int
    ) -> None:
        self._log = run_log
        self._state = run_log.state
        assert self._state.current is not None
        self._iteration = self._state.current
        self._number = self._iteration.started.iteration
        self._generations = generations
        self._inbox = inbox
        self._most_forks = forks_per_iteration
        self._revoked: defaultdict[tuple[Stage, str], set[int]] = defaultdict(set)
        self._end: Ending | None = None

    async def drive(self) -> Ending:
        """Returns how it ended. Cancelled (the service stops) it stays open, journaled, for the next generator."""
        try:
            await self._begin()
            while (end := self._over()) is None:
                await self._next()
        except asyncio.CancelledError:
            for generation in await self._generations.abort():
                await generation.journal()
            raise
        await self._finish(end)
        return end

    def _over(self) -> Ending | None:
        return self._end or ending(self._state, now=time.time(), tokens=self._tokens())

    def _tokens(self) -> int:
        return self._state.tokens() + self._generations.tokens()

    # ---- beginning, or going on

    async def _begin(self) -> None:
        await self._settle_accepted()
        open_ = {name: g.started for name, g in self._iteration.generations.items() if g.ended is None}
        if MAIN in open_ or MAIN not in self._iteration.generations:
            await self._begin_main()
        for name, started in open_.items():
            if name != MAIN:
                await self._begin_fork(started)

    async def _settle_accepted(self) -> None:
        """Two facts: a generator that ended between them has accepted a result that it did not settle."""
        for candidate in self._state.of_iteration(self._number):
            if settled := settle(self._state, candidate):
                await self._log.draft(settled)

    async def _begin_main(self) -> None:
        try:
            former = self._iteration.generations.get(MAIN)
            resumed, placement = await self._unless_over(self._generations.start_main(
                self._iteration.started.prompt, former.started.placement if former else None
            ))
        except Interrupted:
            return  # what ended it is what the driver finds next
        except EndpointProblem as problem:
            self._end = Ending("failed", str(problem))
            return
        await self._log.record(
            GenerationStarted, iteration=self._number, generation=MAIN, kind="main", resumed_at_token=resumed,
            placement=placement,
        )

    async def _begin_fork(self, started: GenerationStarted) -> None:
        """A fork whose generator was replaced starts again from its position, if the reasoning still runs."""
        try:
            await self._unless_over(
                self._generations.start_fork(started.generation, started.at_token, started.at_char or 0)
            )
        except (ValueError, EndpointProblem, Interrupted) as problem:
            await self._record_failed(started.generation, str(problem))

    async def _unless_over(self, work: Coroutine[Any, Any, T]) -> T:
        """What asks the endpoint may wait for it as long as the run may go on: Interrupted after that."""
        return await unless(self._inbox.cancelled, work, seconds_left(self._state, time.time()))

    # ---- what arrives

    async def _next(self) -> None:
        wait = next_look(self._state, time.time())
        try:
            async with asyncio.timeout(1.0 if wait is None else min(wait, 1.0)):
                item = await self._inbox.get()
        except TimeoutError:
            return
        await self._handle(item)

    async def _handle(self, item: object) -> None:
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Done | Moved) and item.iteration != self._number:
            return  # said while its iteration was being ended, which has recorded it as aborted
        if isinstance(item, Done):
            await self._generation_done(item)
        elif isinstance(item, Moved):
            await self._moved(item)
        elif isinstance(item, Delivery):
            await self._delivered(item)

    async def _delivered(self, delivery: Delivery) -> None:
        match delivery.message:
            case Verdict() | Profile() as result:
                await self._result(result, delivery.sequence)
            case ForkRequest() as request:
                await self._fork(request, delivery.sequence)
            case StopRequest() as request:
                await self._stop(request, delivery.sequence)
            case AbortRequest() as request:
                await self._abort(request, delivery.sequence)
            case CancelRun() as cancel:
                self._end = Ending("cancelled", cancel.reason)
            case AttemptRevoked() as revoked if revoked.run == self._state.run:
                self._revoked[revoked.stage, revoked.candidate].add(revoked.attempt)

    async def _result(self, result: Verdict | Profile, sequence: int) -> None:
        if sequence <= self._state.last_result:
            return
        stage = Stage.VALIDATE if isinstance(result, Verdict) else Stage.PROFILE
        revoked = frozenset(self._revoked[stage, result.candidate])
        await self._log.draft(judge_result(self._state, result, stage, sequence, revoked))
        candidate = self._state.candidates.get(result.candidate)
        if candidate and (settled := settle(self._state, candidate)):
            await self._log.draft(settled)

    async def _fork(self, request: ForkRequest, sequence: int) -> None:
        if sequence <= self._state.last_request:
            return
        if refusal := self._refusal(request):
            await self._ignore("fork", request.iteration, refusal, sequence)
        elif request.draft is not None:
            await self._log.draft(propose(
                self._state, request.draft, generation=request.generation, origin="draft", at_token=request.at_token,
                request=sequence,
            ))
        else:
            await self._grant(request, sequence)

    def _refusal(self, request: ForkRequest) -> str | None:
        started = self._state.started
        if request.iteration != self._number:
            return "the iteration is not open"
        if started is not None and not started.speculate:
            return "the run does not speculate"
        return None

    async def _grant(self, request: ForkRequest, sequence: int) -> None:
        granted = len(self._iteration.generations) - 1
        for _ in range(request.k):
            granted += 1
            if granted > self._most_forks:
                await self._ignore("fork", self._number, f"{self._most_forks} forks are the limit", sequence)
                return
            try:
                placement = await self._unless_over(
                    self._generations.start_fork(f"f{granted}", request.at_token, request.at_char)
                )
            except (ValueError, EndpointProblem, Interrupted) as problem:
                await self._ignore("fork", self._number, str(problem), sequence)
                return
            await self._log.record(
                GenerationStarted, iteration=self._number, generation=f"f{granted}", kind="fork",
                parent=request.generation, at_token=request.at_token, at_char=request.at_char, reason=request.reason,
                numbers=request.numbers, request=sequence, placement=placement,
            )

    async def _stop(self, request: StopRequest, sequence: int) -> None:
        if sequence <= self._state.last_request:
            return
        candidate = self._state.candidates.get(request.candidate)
        if request.iteration != self._number:
            await self._ignore("stop", request.iteration, "the iteration is not open", sequence)
        elif candidate is None or candidate.settled is None or candidate.settled.speedup is None:
            await self._ignore("stop", request.iteration, f"{request.candidate} has no accepted measurement", sequence)
        else:
            self._end = Ending("stopped", request.candidate, sequence, request.numbers)

    async def _abort(self, request: AbortRequest, sequence: int) -> None:
        """The iteration goes on: to the outcomes of what was proposed, and then to its end."""
        if sequence <= self._state.last_request:
            return
        if request.iteration != self._number:
            await self._ignore("abort", request.iteration, "the iteration is not open", sequence)
        elif (generation := await self._generations.abort_one(request.generation)) is None:
            await self._ignore("abort", self._number, f"{request.generation} has ended by itself", sequence)
        else:
            log.warning("generation.aborted", run=self._state.run, generation=request.generation, reason=request.reason)
            await self._record_ended(
                generation, "aborted", request.reason, None, request=sequence, numbers=request.numbers
            )

    async def _ignore(self, kind: str, iteration: int, reason: str, sequence: int) -> None:
        await self._log.record(RequestIgnored, iteration=iteration, kind=kind, reason=reason, request=sequence)

    # ---- generations that move, or end

    async def _moved(self, moved: Moved) -> None:
        """It starts a second time under its own name, as after its generator was replaced."""
        generation = self._iteration.generations[moved.name]
        if generation.ended is not None:
            return
        fields = {name: getattr(generation.started, name) for name in GenerationStarted.__struct_fields__}
        header = {name: fields.pop(name) for name in Fact.__struct_fields__}
        log.warning("generation.moved", run=header["run"], generation=moved.name, at_token=moved.at_token)
        moved_to = {"resumed_at_token": moved.at_token, "placement": moved.placement}
        await self._log.record(GenerationStarted, **fields | moved_to)

    async def _generation_done(self, done: Done) -> None:
        generation = self._generations.ended(done.name)
        if done.finished is None:
            await self._record_failed(done.name, done.problem, generation)
            if done.name == MAIN:
                self._end = Ending("failed", done.problem)
            return
        main = done.name == MAIN
        text = generation.transcript.answer if main else generation.transcript.text
        found = extract(text, in_fence=generation.prompt.in_fence, finish_reason=done.finished.reason)
        candidate = None
        if found.source is not None:
            started = self._iteration.generations[done.name].started
            candidate = name_of(await self._log.draft(propose(
                self._state, found.source, generation=done.name, origin="main" if main else "fork",
                at_token=started.at_token,
            )))
        reason = "length" if done.finished.reason == "length" else "finished"
        await self._record_ended(generation, reason, found.reason, candidate)

    async def _record_failed(self, name: str, cause: str, generation: Generation | None = None) -> None:
        log.warning("generation.failed", run=self._state.run, generation=name, reason=cause)
        if generation is not None:
            await self._record_ended(generation, "failed", cause, None)
        else:
            await self._log.record(
                GenerationEnded, iteration=self._number, generation=name, reason="failed", cause=cause
            )

    async def _record_ended(
        self, generation: Generation, reason: str, cause: str, candidate: str | None, **asked: Any
    ) -> None:
        transcript, usage = generation.transcript, generation.usage
        reasoning, answer = transcript.token_counts()
        await self._log.record(
            GenerationEnded, iteration=self._number, generation=transcript.generation, reason=reason, cause=cause,
            prompt_tokens=usage.prompt if usage else len(generation.prompt.token_ids or ()),
            cached_tokens=usage.cached if usage else None, reasoning_tokens=reasoning, answer_tokens=answer,
            tokens_estimated=not transcript.tokens_known, seconds=generation.seconds(), candidate=candidate,
            **asked,
        )

    # ---- the end

    async def _finish(self, end: Ending) -> None:
        """The end is one fact; what still runs is aborted after it, and what is still open is closed after that."""
        await self._log.record(
            IterationEnded, iteration=self._number, reason=end.reason, cause=end.cause, request=end.request,
            H=tuple(self._state.H), numbers=end.numbers or {},
        )
        for generation in await self._generations.abort():
            await self._record_ended(generation, "aborted", end.reason, None)
        await close_iteration(self._log, self._number)


async def close_iteration(run_log: RunLog, number: int) -> None:
    """Say what is still to be said of an ended iteration; nothing where all was said."""
    iteration = run_log.state.iterations[number - 1]
    for name, generation in iteration.generations.items():
        if generation.ended is None:
            await run_log.record(
                GenerationEnded, iteration=number, generation=name, reason="aborted", cause="its generator was replaced"
            )
    for draft in close_out(run_log.state, number):
        await run_log.draft(draft)
