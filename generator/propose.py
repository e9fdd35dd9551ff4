"""From a source to a candidate: new ones are proposed, known ones recorded as duplicates. Pure."""
from __future__ import annotations

from typing import Any

from common.messages import CandidateDuplicated, CandidateProposed
from generator.accept import Draft
from generator.digest import source_digest
from generator.state import RunState


def propose(
    state: RunState, source: str, *, generation: str, origin: str, at_token: int | None = None,
    request: int | None = None,
) -> Draft:
    """The fact a source becomes. Sources equal up to comments and layout are one candidate, judged once a run; one
    that could not be judged is a new candidate when it comes again."""
    assert state.started is not None and state.current is not None
    digest = source_digest(source)
    fields: dict[str, Any] = {
        "iteration": state.current.started.iteration, "generation": generation, "origin": origin, "digest": digest,
        "request": request,
    }
    if known := state.by_digest.get(digest):
        return Draft(CandidateDuplicated, fields | {"duplicate_of": known})
    return Draft(CandidateProposed, fields | {
        "candidate": f"c{len(state.candidates) + 1}", "at_token": at_token, "source": source,
        "task": state.started.task, "device": state.started.device,
    })


def name_of(fact: object) -> str:
    """The candidate a proposal's fact is about."""
    if isinstance(fact, CandidateDuplicated):
        return fact.duplicate_of
    assert isinstance(fact, CandidateProposed)
    return fact.candidate
