"""The report a person reads, as Markdown, from a summary and the events it came from. Pure."""
from __future__ import annotations

from collections.abc import Sequence

from common.messages import (
    CandidateProposed,
    CandidateSettled,
    Feedback,
    GenerationStarted,
    IterationEnded,
    Message,
    ResultAccepted,
)
from common.report.summary import IterationSummary, Summary, Tokens


def render(summary: Summary, events: Sequence[Message]) -> str:
    return "\n".join([
        *_head(summary), *_time(summary), *_iterations(summary), *_decisions(events), *_candidates(summary, events),
        *_tokens(summary), *_faults(summary),
    ])


def _head(s: Summary) -> list[str]:
    lines = [f"# {s.task}: {_best_line(s)}", ""]
    cause = f" ({s.cause})" if s.cause else ""
    lines += [
        f"Run `{s.run}` with `{s.llm}`, precision {s.precision}, ended by {s.reason}{cause} after "
        f"{s.wall_seconds:.1f} s.",
        "",
    ]
    if s.best:
        b = s.best
        lines += [
            f"Best kernel: `{b.candidate}` ({b.origin}, iteration {b.iteration}): {b.candidate_ms:.4g} ms against "
            f"{b.reference_ms:.4g} ms of eager; median paired speedup {b.speedup:.2f}x, {b.confidence:.0%} interval "
            f"{b.low:.2f} to {b.high:.2f} over {b.pairs} pairs.",
            "",
        ]
    return lines


def _best_line(s: Summary) -> str:
    return f"{s.best.speedup:.2f}x of eager" if s.best else "no valid kernel"


def _time(s: Summary) -> list[str]:
    share = s.judging_seconds / s.reasoning_seconds if s.reasoning_seconds else 0.0
    lines = [
        "## Where the time went", "",
        f"The model reasoned and answered for {s.reasoning_seconds:.1f} s; validation and profiling took "
        f"{s.judging_seconds:.1f} s ({share:.2f} of the reasoning time), most of it at the same time.", "",
        "| stage | step | seconds |", "|---|---|---|",
    ]
    lines += [f"| {stage} | {step} | {sec:.2f} |" for stage, steps in s.seconds.items() for step, sec in steps.items()]
    lines += ["", "| device | leased, share of wall time |", "|---|---|"]
    return [*lines, *(f"| {device} | {share:.0%} |" for device, share in s.utilisation.items()), ""]


def _iterations(s: Summary) -> list[str]:
    return [
        "## Iterations", "",
        "| # | ended by | seconds | reasoning s | reasoning tokens | forks | candidates | first candidate s | "
        "first passed s | verdicts before the reasoning ended |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_iteration_row(i) for i in s.iterations), "",
    ]


def _iteration_row(i: IterationSummary) -> str:
    ended = f"{i.reason} ({i.cause})" if i.cause else i.reason
    return (
        f"| {i.iteration} | {ended} | {i.seconds:.1f} | {i.reasoning_seconds:.1f} | {i.reasoning_tokens} | {i.forks} | "
        f"{i.candidates} | {_seconds(i.first_candidate_seconds)} | {_seconds(i.first_passed_seconds)} | "
        f"{i.early_verdicts} |"
    )


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _decisions(events: Sequence[Message]) -> list[str]:
    """Each fork and each stop in a sentence, with the numbers it was decided on."""
    lines = ["## Forks and stops", ""]
    for event in events:
        if isinstance(event, GenerationStarted) and event.kind == "fork":
            position = f"token {event.at_token}" if event.at_token is not None else f"character {event.at_char}"
            lines.append(
                f"- Iteration {event.iteration}: `{event.generation}` forked at {position}: "
                f"{event.reason}{_numbers(event.numbers)}."
            )
        if isinstance(event, IterationEnded) and event.reason == "stopped":
            lines.append(f"- Iteration {event.iteration}: stopped by `{event.cause}`{_numbers(event.numbers)}.")
    return [*lines, ""] if len(lines) > 2 else [*lines, "None.", ""]


def _numbers(numbers: dict[str, float]) -> str:
    return " (" + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()) + ")" if numbers else ""


def _candidates(s: Summary, events: Sequence[Message]) -> list[str]:
    proposed = [e for e in events if isinstance(e, CandidateProposed)]
    settled = {e.candidate: e for e in events if isinstance(e, CandidateSettled)}
    feedback = {e.candidate: e.judgement.feedback for e in events if isinstance(e, ResultAccepted)}
    lines = ["## Candidates", "", "| candidate | iteration | origin | outcome | speedup | fate | what was found |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [_candidate_row(p, settled.get(p.candidate), feedback.get(p.candidate)) for p in proposed]
    fates = ", ".join(f"{count} {fate}" for fate, count in s.fates.items())
    return [*lines, "", f"Fates: {fates or 'none'}. A duplicate is a source seen before; it was not judged again.", ""]


def _candidate_row(p: CandidateProposed, settled: CandidateSettled | None, feedback: Feedback | None) -> str:
    outcome = settled.outcome if settled and settled.outcome else "–"
    speedup = f"{settled.speedup:.2f}x" if settled and settled.speedup is not None else "–"
    fate = settled.fate if settled else "open"
    found = feedback.summary.replace("|", "\\|").replace("\n", " ") if feedback else ""
    return f"| {p.candidate} | {p.iteration} | {p.origin} | {outcome} | {speedup} | {fate} | {found} |"


def _tokens(s: Summary) -> list[str]:
    return [
        "## Tokens", "", "| generations | started | aborted | prompt | of it cached | reasoning | answer |",
        "|---|---|---|---|---|---|---|", *(_token_row(kind, t) for kind, t in s.tokens.items()), "",
    ]


def _token_row(kind: str, t: Tokens) -> str:
    return f"| {kind} | {t.generations} | {t.aborted} | {t.prompt} | {t.cached} | {t.reasoning} | {t.answer} |"


def _faults(s: Summary) -> list[str]:
    ignored = ", ".join(f"{n} {why}" for why, n in {**s.results_ignored, **s.requests_ignored}.items()) or "none"
    return [
        "## Faults", "",
        f"Attempts that failed through no fault of a candidate: {s.attempts_failed}; revoked: {s.attempts_revoked}; "
        f"results and requests ignored: {ignored}.", "",
    ]
