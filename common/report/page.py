"""The report a person reads, as Markdown, from a summary and the events it came from. Pure.

docs/reports.md says what each part means.
"""
from __future__ import annotations

from collections.abc import Sequence

from common.messages import (
    CandidateProposed,
    CandidateSettled,
    Judgement,
    Message,
    ResultAccepted,
)
from common.report.decisions import sentence_of
from common.report.evidence import evidence
from common.report.summary import IterationSummary, Summary, Tokens

STEPS = {
    "queue": "waiting for a worker",
    "compile": "compilers, off the device",
    "task": "reading the task",
    "spare": "getting a fresh sandboxed process",
    "load": "importing the candidate",
    "reference": "the task's own results, in fp64 and in its precision",
    "check": "the candidate's results, on every kind of input",
    "kernels": "what Triton compiled, taken along",
    "time": "paired timing",
    "limits": "what the device can do, measured once a process",
    "trace": "one call more, for its launches",
    "count": "hardware counters, in a run of their own",
    "baseline": "the same against torch.compile",
    "validate": "all of it, for those that failed",
    "profile": "all of it, for those that failed",
}


def render(summary: Summary, events: Sequence[Message]) -> str:
    return "\n".join([
        *_head(summary), *evidence(summary, events), *_time(summary), *_iterations(summary), *_decisions(events),
        *_candidates(summary, events), *_ledger(summary), *_tokens(summary), *_replicas(summary), *_faults(summary),
    ])


def _head(s: Summary) -> list[str]:
    lines = [f"# {s.task}: {_best_line(s)}", ""]
    cause = f" ({_plain(s.cause)})" if s.cause else ""
    lines += [
        f"Run `{s.run}` with `{s.llm}` on {s.hardware}; precision {s.precision}, stop criterion {s.stop}; ended by "
        f"{s.reason}{cause} after {s.wall_seconds:.1f} s.",
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
        f"{s.judging_seconds:.1f} s ({share:.2f} of the reasoning time). Devices were held for "
        f"{s.device_seconds:.1f} s, {s.overlapped_seconds:.1f} s of it while the model was at work.", "",
        "| stage | step | seconds | |", "|---|---|---|---|",
    ]
    lines += [
        f"| {stage} | {step} | {seconds:.2f} | {STEPS.get(step, '')} |"
        for stage, steps in s.seconds.items() for step, seconds in steps.items()
    ]
    lines += ["", "| device | leased, share of wall time |", "|---|---|"]
    return [*lines, *(f"| {device} | {share:.0%} |" for device, share in s.utilisation.items()), ""]


def _iterations(s: Summary) -> list[str]:
    return [
        "## Iterations", "",
        "| # | ended by | seconds | reasoning s | reasoning tokens | bar | forks | candidates | "
        "first candidate s | first passed s | verdicts before the reasoning ended |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_iteration_row(i) for i in s.iterations), "",
    ]


def _iteration_row(i: IterationSummary) -> str:
    ended = f"{i.reason} ({_plain(i.cause)})" if i.cause else i.reason
    bar = "–" if i.bar is None else f"{i.bar:.2f}x"
    return (
        f"| {i.iteration} | {ended} | {i.seconds:.1f} | {i.reasoning_seconds:.1f} | {i.reasoning_tokens} | {bar} | "
        f"{i.forks} | {i.candidates} | {_seconds(i.first_candidate_seconds)} | {_seconds(i.first_passed_seconds)} | "
        f"{i.early_verdicts} |"
    )


def _plain(text: str) -> str:
    """Foreign text on one line and within one cell: a page that is shown hides what looks like a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _decisions(events: Sequence[Message]) -> list[str]:
    """Each fork, draft, abort and stop in a sentence, with the numbers it was decided on."""
    sentences = [f"- {sentence}" for event in events if (sentence := sentence_of(event))]
    return ["## Forks and stops", "", *(sentences or ["None."]), ""]


def _candidates(s: Summary, events: Sequence[Message]) -> list[str]:
    proposed = [e for e in events if isinstance(e, CandidateProposed)]
    settled = {e.candidate: e for e in events if isinstance(e, CandidateSettled)}
    last = {e.candidate: e.judgement for e in events if isinstance(e, ResultAccepted)}
    lines = ["## Candidates", "", "| candidate | iteration | origin | outcome | speedup | fate | what was found |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [_candidate_row(p, settled.get(p.candidate), last.get(p.candidate)) for p in proposed]
    fates = ", ".join(f"{count} {fate}" for fate, count in s.fates.items())
    return [*lines, "", f"Fates: {fates or 'none'}. A duplicate is a source seen before; it was not judged again.", ""]


def _candidate_row(p: CandidateProposed, settled: CandidateSettled | None, judged: Judgement | None) -> str:
    outcome = settled.outcome if settled and settled.outcome else "–"
    labels = f" ({', '.join(judged.labels)})" if judged and judged.labels else ""
    speedup = f"{settled.speedup:.2f}x" if settled and settled.speedup is not None else "–"
    fate = settled.fate if settled else "open"
    found = _plain(judged.feedback.summary) if judged else ""
    origin = p.origin if p.origin == "main" else f"{p.origin} {p.generation}"
    return f"| {p.candidate} | {p.iteration} | {origin} | {outcome}{labels} | {speedup} | {fate} | {found} |"


def _tokens(s: Summary) -> list[str]:
    return [
        "## Tokens", "", "| generations | started | aborted | prompt | of it cached | reasoning | answer |",
        "|---|---|---|---|---|---|---|", *(_token_row(kind, t) for kind, t in s.tokens.items()), "",
    ]


def _replicas(s: Summary) -> list[str]:
    """Nothing where the run had one endpoint."""
    if not s.replicas:
        return []
    columns = ("main", "cached", "loaded", "computed", "moved")
    return [
        "## Replicas", "",
        "| replica | reasonings | forks with their prefix cached | loaded | computed | gone on with here |",
        "|---|---|---|---|---|---|",
        *(f"| {url} | {' | '.join(str(sent.get(c, 0)) for c in columns)} |" for url, sent in s.replicas.items()), "",
    ]


def _ledger(s: Summary) -> list[str]:
    ledger = s.ledger
    rows = (("the model's own reasoning and answers", ledger.main), ("forks and drafts of use", ledger.used),
            ("forks and drafts for nothing", ledger.wasted))
    saved = "" if ledger.saved_tokens is None else \
        f" Stopping saved about {ledger.saved_tokens} tokens, by the length of the reasonings that ended by themselves."
    return [
        "## What it was spent on", "", "| purpose | tokens generated | device seconds |", "|---|---|---|",
        *(f"| {purpose} | {spent.tokens} | {spent.device_seconds:.1f} |" for purpose, spent in rows), "",
        f"From the start to the first candidate {_seconds(ledger.first_candidate_seconds)} s, to the first valid one "
        f"{_seconds(ledger.first_valid_seconds)} s, to the best {_seconds(ledger.best_seconds)} s.{saved}", "",
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
