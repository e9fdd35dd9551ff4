"""`specgen check`: verdict and measurement of one kernel, without a model, a bus or a run."""
from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import msgspec

from common.commands.explain import explanation
from common.devices import Device, DeviceSettings, discover
from common.errors import UsageError
from common.judge import Judge, JudgeFault, JudgeSettings
from common.logs import configure
from common.messages import Judgement, Outcome, Stage, TaskSource
from common.report.evidence import against_compiled
from common.settings import load, refuse_unknown
from common.task import PRECISIONS, read_source, read_task
from common.worker.attempt import added, with_compiling

NAME = "check"
HELP = "judge one kernel against a task: right or wrong, and how fast"
EXAMPLES = """\
  specgen check examples/cauchy_smoother/task.py runs/mine/best.py
  specgen check task.py kernel.py --explain
  specgen check task.py kernel.py --precision tf32 --json"""


class Checked(msgspec.Struct, kw_only=True):
    verdict: Judgement
    profile: Judgement | None = None

    @property
    def passed(self) -> bool:
        last = self.profile or self.verdict
        return last.outcome is Outcome.PASSED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", type=Path, metavar="TASK.py")
    parser.add_argument("kernel", type=Path, metavar="KERNEL.py", help="file that defines ModelNew")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="what to judge on (default: settings, cpu)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="lowest precision allowed")
    parser.add_argument("--no-profile", action="store_true", help="the verdict only")
    parser.add_argument("--compile-baseline", action="store_true", help="time it against torch.compile, too")
    parser.add_argument("--counters", action="store_true", help="read hardware counters through ncu, too (GPUs)")
    parser.add_argument("--explain", action="store_true", help="how verdict and figure came about, case by case")
    parser.add_argument("--json", action="store_true", help="everything found, as one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 passed, 1 not, 2 could not be judged."""
    refuse_unknown()
    configure("check")
    task, source = read_task(args.task, precision=args.precision), read_source(args.kernel)
    devices = load("devices", DeviceSettings, kind=args.device)
    device = next(d for d in reversed(discover(devices)) if Stage.PROFILE in d.stages)
    try:
        asked = {"compile_baseline": args.compile_baseline or None, "counters": args.counters or None}
        judge = load("judge", JudgeSettings, **asked)
        checked = asyncio.run(_check(task, source, device, judge, profile=not args.no_profile))
    except JudgeFault as fault:
        raise UsageError(f"could not judge: {fault}") from None
    print(msgspec.json.encode(checked).decode() if args.json else text(checked))
    if args.explain and not args.json:
        print("\n".join(["", *explanation(checked.verdict, checked.profile)]))
    return 0 if checked.passed else 1


async def _check(
    task: TaskSource, source: str, device: Device, settings: JudgeSettings, *, profile: bool
) -> Checked:
    async with Judge(settings, device.kind) as judge:
        artefact = await judge.compile(task, source)
        if isinstance(artefact, Judgement):
            return Checked(verdict=artefact)
        verdict = with_compiling(await judge.validate(task, artefact, device), artefact)
        if not profile or verdict.outcome is not Outcome.PASSED:
            return Checked(verdict=verdict)
        return Checked(verdict=verdict, profile=await judge.profile(task, artefact, device))


def text(checked: Checked) -> str:
    """For a person: outcome first, then why, then how fast."""
    last = checked.profile or checked.verdict
    feedback = last.feedback
    lines = [f"{last.outcome}: {feedback.summary}"]
    if labels := sorted({*checked.verdict.labels, *last.labels}):
        lines.append(f"labels: {', '.join(labels)}")
    if feedback.cause:
        lines.append(f"likely cause: {feedback.cause}")
    lines += [f"at {list(d.index)}: expected {d.expected:.7g}, got {d.got:.7g}" for d in feedback.differences]
    if feedback.message:
        lines.append(feedback.message)
    if m := last.measurement:
        lines.append(
            f"{m.candidate_ms:.4g} ms against {m.reference_ms:.4g} ms of eager: {m.speedup:.2f}x, "
            f"{m.confidence:.0%} interval {m.low:.2f} to {m.high:.2f} over {m.pairs} pairs"
        )
    if compiled := last.record.get("compile_baseline"):
        lines.append(against_compiled(compiled))
    steps = added(checked.verdict.seconds, checked.profile.seconds if checked.profile else {})
    lines.append("seconds: " + ", ".join(f"{step} {seconds:.2f}" for step, seconds in steps.items()))
    return "\n".join(lines)
