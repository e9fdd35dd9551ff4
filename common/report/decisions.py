"""Why a fork was made, a reasoning ended or an iteration stopped: one sentence each, with the numbers. Pure.

The numbers are those the trigger decided on, as its requests carry them into the facts (`trigger/value.py`,
`trigger/stop.py`). Policies without such numbers are quoted as they are.
"""
from __future__ import annotations

from common.messages import (
    CandidateProposed,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    Message,
    Placement,
)

_SEEN = {
    "started": "nothing had been thought yet",
    "kernel_completed": "a kernel was complete",
    "kernel_stored": "a kernel had stored its result",
    "wrapper_completed": "a host wrapper was complete",
    "model_completed": "a `ModelNew` was complete",
    "function_completed": "a function was complete",
    "fence_closed": "a code block was closed",
    "announced": "the implementation was announced",
    "decided": "a design was decided",
    "silence": "nothing had been seen for long",
}
_FINER = {
    "first": "the first one", "settling": "much like the one before", "other": "unlike the one before",
    "same": "the same again", "sketch": "with parts left out", "caller": "with what calls it", "draft": "a whole draft",
}


def sentence_of(event: Message) -> str | None:
    """None for an event that is no such decision."""
    match event:
        case GenerationStarted(kind="fork"):
            if event.resumed_at_token is not None and event.placement is not None:
                return _resumed(event)
            where = f"`{event.generation}` forked at {position(event)}"
            return f"Iteration {event.iteration}: {where} because {_why(event)}{_placed(event.placement)}"
        case GenerationStarted() if event.resumed_at_token is not None and event.placement is not None:
            return _resumed(event)
        case CandidateProposed(origin="draft"):
            at = f" at token {event.at_token}" if event.at_token is not None else ""
            return f"Iteration {event.iteration}: `{event.candidate}` stood complete in the reasoning{at} and was " \
                "proposed without a generation."
        case GenerationEnded(generation="main", reason="aborted") if event.request is not None:
            return f"Iteration {event.iteration}: the reasoning was ended after {event.reasoning_tokens} tokens: " \
                f"{event.cause}{_quoted(event.numbers)}."
        case IterationEnded(reason="stopped"):
            return f"Iteration {event.iteration}: {_stopped(event)}"
    return None


def _resumed(event: GenerationStarted) -> str:
    went_on = f"`{event.generation}` was broken off and went on from token {event.resumed_at_token}"
    return f"Iteration {event.iteration}: {went_on}.{_placed(event.placement)}"


_PREFIX = {
    "cached": "which had its prefix of {tokens} tokens", "loaded": "which could load its prefix of {tokens} tokens",
    "computed": "which had to compute its prefix of {tokens} tokens",
}


def _placed(placement: Placement | None) -> str:
    """The replica it was sent to, and what was expected there and elsewhere."""
    if placement is None:
        return ""
    others = ", ".join(f"{s:.3f} s at {name}" for name, s in placement.seconds.items() if name != placement.replica)
    how = _PREFIX[placement.prefix].format(tokens=placement.tokens)
    soonest = f"first token expected after {placement.seconds[placement.replica]:.3f} s"
    return f" It was sent to {placement.replica}, {how}: {soonest}" + f", against {others}" * bool(others) + "."


def position(event: GenerationStarted) -> str:
    """Of a fork in the reasoning: endpoints that give no tokens are forked at a character."""
    return f"token {event.at_token}" if event.at_token is not None else f"character {event.at_char}"


def _why(event: GenerationStarted) -> str:
    kind, _, finer = event.reason.partition("+")
    seen = _SEEN.get(kind, event.reason) + f" ({_FINER.get(finer, finer)})" * bool(finer)
    n = event.numbers
    if not {"p", "saves_s", "gain_s", "cost_s"} <= n.keys():
        return f"{seen}{_quoted(n)}."
    return (
        f"{seen}: with a chance of {n['p']:.1%} it would end the iteration and save {n['saves_s']:.0f} s, a gain of "
        f"{n['gain_s']:.2f} s at a cost of {n['cost_s']:.2f} s."
    )


def _stopped(event: IterationEnded) -> str:
    n = event.numbers
    if not {"speedup", "bar", "valid_before"} <= n.keys():
        return f"stopped by `{event.cause}`{_quoted(n)}."
    low = f" (at least {n['low']:.2f}x with confidence)" if "low" in n else ""
    return (
        f"stopped by `{event.cause}`: its {n['speedup']:.2f}x{low} clears the bar of {n['bar']:.2f}x, set by "
        f"{n['valid_before']:.0f} earlier valid kernels."
    )


def _quoted(numbers: dict[str, float]) -> str:
    return " (" + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()) + ")" if numbers else ""
