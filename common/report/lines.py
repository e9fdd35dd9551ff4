"""A run's events as lines for a person: what happened, with the numbers that matter. Pure."""
from __future__ import annotations

from common.messages import (
    CandidateDuplicated,
    CandidateProposed,
    CandidateSettled,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    IterationStarted,
    Message,
    RequestIgnored,
    ResultAccepted,
    RunEnded,
    RunStarted,
)
from common.report.decisions import position


def line_of(event: Message, start: float) -> str | None:
    """One line, or None for an event that says nothing new to a person. `start` is the run's start, Unix seconds."""
    text = _text(event)
    return None if text is None else f"{getattr(event, 'at', start) - start:7.1f}s  {text}"


def _text(event: Message) -> str | None:
    match event:
        case RunStarted():
            return f"run {event.run} of {event.task.name} with {event.llm.model or 'the model of ' + event.llm.url}"
        case IterationStarted():
            bar = f", bar {sum(event.H) / len(event.H):.2f}x" if event.H else ""
            return f"iteration {event.iteration}: prompt of {len(event.prompt)} characters{bar}"
        case GenerationStarted(placement=place) if event.resumed_at_token is not None and place is not None:
            return f"  {event.generation} goes on at {place.replica} from token {event.resumed_at_token}"
        case GenerationStarted(kind="fork"):
            where = f" on {event.placement.replica} ({event.placement.prefix})" if event.placement else ""
            return f"  fork {event.generation} at {position(event)}: {event.reason}{where}"
        case GenerationStarted(kind="main") if event.placement is not None:
            return f"  main on {event.placement.replica}"
        case GenerationEnded(generation="main") | GenerationEnded(reason="failed"):
            cause = f": {event.cause}" if event.cause else ""
            tokens = f"{event.reasoning_tokens} + {event.answer_tokens} tokens"
            return f"  {event.generation} {event.reason} after {tokens}{cause}"
        case GenerationEnded(reason="finished" | "length", candidate=None):
            return f"  {event.generation} ended without a kernel" + f": {event.cause}" * bool(event.cause)
        case CandidateProposed():
            return f"  {event.candidate} proposed by {event.origin} {event.generation}"
        case CandidateDuplicated():
            return f"  {event.generation} repeats {event.duplicate_of}"
        case ResultAccepted():
            return f"  {event.candidate} {event.stage}: {event.judgement.outcome} – {event.judgement.feedback.summary}"
        case CandidateSettled(fate="cancelled"):
            return f"  {event.candidate} cancelled"
        case IterationEnded():
            return f"iteration {event.iteration} ended: {event.reason} {event.cause}".rstrip()
        case RequestIgnored():
            return f"  {event.kind} ignored: {event.reason}"
        case RunEnded():
            return f"run ended: {event.reason} {event.cause}".rstrip()
    return None
