"""From effects to messages. Pure: the time is handed in."""
from __future__ import annotations

from common.messages import AbortRequest, ForkRequest, StopRequest, TokenDelta
from trigger.effects import Abort, Fork, Stop
from trigger.stream import Stream


def fork_request(fork: Fork, stream: Stream, delta: TokenDelta, at: float) -> ForkRequest:
    """At the first token boundary at or behind the place, where tokens are reported."""
    at_token, at_char = stream.boundary(fork.at_char)
    return ForkRequest(
        run=delta.run, iteration=delta.iteration, generation=delta.generation, at=at, at_token=at_token,
        at_char=at_char, k=fork.k, reason=fork.reason, numbers=fork.numbers, draft=fork.draft,
    )


def abort_request(abort: Abort, delta: TokenDelta, at: float) -> AbortRequest:
    return AbortRequest(
        run=delta.run, iteration=delta.iteration, generation=delta.generation, at=at, reason=abort.reason,
        numbers=abort.numbers,
    )


def stop_request(stop: Stop, run: str, iteration: int, at: float) -> StopRequest:
    return StopRequest(
        run=run, iteration=iteration, at=at, candidate=stop.candidate, reason=stop.reason, numbers=stop.numbers
    )
