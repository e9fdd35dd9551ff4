"""What must hold of any run's log, however it was disturbed."""
from __future__ import annotations

from pathlib import Path

from common.messages import (
    CandidateProposed,
    CandidateSettled,
    Fact,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    IterationStarted,
    ResultAccepted,
    RunEnded,
    RunStarted,
)


def log_of(messages: list[Fact]) -> list[Fact]:
    """The run's facts by number, each once; AssertionError where one is missing or a number was used twice."""
    by_number: dict[int, Fact] = {}
    for fact in messages:
        assert by_number.setdefault(fact.n, fact) == fact, f"{fact.run} has two facts {fact.n}"
    assert sorted(by_number) == list(range(1, len(by_number) + 1)), "no fact is missing"
    return [by_number[n] for n in sorted(by_number)]


def check(messages: list[Fact]) -> RunEnded:
    """Everything has one end, one verdict and one outcome, and the budget holds."""
    facts = log_of(messages)
    started = facts[0]
    assert isinstance(started, RunStarted)
    ends = [f for f in facts if isinstance(f, RunEnded)]
    assert len(ends) == 1 and facts[-1] is ends[0]
    iterations = [f.iteration for f in facts if isinstance(f, IterationStarted)]
    assert iterations == [f.iteration for f in facts if isinstance(f, IterationEnded)] == sorted(set(iterations))
    begun = {(f.iteration, f.generation) for f in facts if isinstance(f, GenerationStarted)}
    over = [(f.iteration, f.generation) for f in facts if isinstance(f, GenerationEnded)]
    assert sorted(begun) == sorted(over), "each generation ends once"
    proposed = [f.candidate for f in facts if isinstance(f, CandidateProposed)]
    settled = [f.candidate for f in facts if isinstance(f, CandidateSettled)]
    assert len(proposed) == len(set(proposed)) and sorted(proposed) == sorted(settled), "one outcome each"
    accepted = [(f.candidate, f.stage) for f in facts if isinstance(f, ResultAccepted)]
    assert len(accepted) == len(set(accepted)), "one result a stage"
    _check_budget(started, ends[0], facts, len(iterations))
    return ends[0]


def _check_budget(started: RunStarted, ended: RunEnded, facts: list[Fact], iterations: int) -> None:
    budget = started.budget
    assert iterations <= budget.iterations
    tokens = sum(f.reasoning_tokens + f.answer_tokens for f in facts if isinstance(f, GenerationEnded))
    if ended.reason == "iterations":
        assert iterations == budget.iterations
    if ended.reason == "tokens":
        assert budget.tokens is not None and budget.tokens <= tokens < 2 * budget.tokens


def processes_of(state: Path) -> list[str]:
    """Command lines of processes that belong to a system with its state there."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            if f"SPECGEN_BUS_STATE_DIR={state}".encode() in environment:
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (OSError, ProcessLookupError):
            continue
    return [line for line in found if line]
