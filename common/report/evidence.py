"""What speaks for the best kernel: how right it is, with which versions it was measured, how to check it. Pure."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.messages import Message, Outcome, ResultAccepted, Stage
from common.report.events import started
from common.report.summary import Summary

_VERSIONS = ("torch", "triton", "cuda", "driver", "compiler", "flags", "limits")
"""Of a judgement's record, where it has them."""


def evidence(summary: Summary, events: Sequence[Message]) -> list[str]:
    """Nothing where there is no best kernel."""
    best = summary.best
    if best is None:
        return []
    judged = {
        e.stage: e.judgement for e in events
        if isinstance(e, ResultAccepted) and e.candidate == best.candidate and e.judgement.outcome is Outcome.PASSED
    }
    lines = ["## Evidence", ""]
    if verdict := judged.get(Stage.VALIDATE):
        lines += _ratios(verdict.record.get("error_ratios", {}))
    if profile := judged.get(Stage.PROFILE):
        known = [f"{name} {profile.record[name]}" for name in _VERSIONS if profile.record.get(name)]
        lines += [f"- Measured with {'; '.join(known)}."] if known else []
        compiled = profile.record.get("compile_baseline")
        lines += [f"- Beside eager: {against_compiled(compiled)}."] if compiled else []
        lines += [f"- Labels: {', '.join(profile.labels)}."] if profile.labels else []
    device, precision = started(events).device, summary.precision
    flags = f" --device {device}" * (device != "cpu") + f" --precision {precision}" * (precision != "fp32")
    return [
        *lines,
        f"- All of it, pair by pair and case by case: `candidates/{best.candidate}.json`.",
        f"- Again, with new secret inputs: `specgen check task.py best.py{flags}`.", "",
    ]


def _ratios(cases: dict[str, Any]) -> list[str]:
    """The worst error of any output, over eager's own."""
    worst = {name: max(values) for name, values in cases.items() if values}
    if not worst:
        return []
    name = max(worst, key=lambda case: worst[case])
    return [
        f"- Right on {len(worst)} kinds of inputs: its error against fp64 is at most {worst[name]:.2f} times "
        f"eager's own (inputs `{name}`)."
    ]


def against_compiled(found: dict[str, Any]) -> str:
    """The second baseline of a profile's record (`compile_baseline`), in words."""
    if absent := found.get("absent"):
        return f"no figure against torch.compile: {absent}"
    return (
        f"{found['speedup']:.2f}x of torch.compile in its {found['mode']} mode ({found['low']:.2f} to "
        f"{found['high']:.2f} over {found['pairs']} pairs; it takes {found['compiled_ms']:.4g} ms)"
    )
