"""`specgen status`: runs, workers, devices and queues of the system that is up."""
from __future__ import annotations

import argparse
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from common.bus import LEASES, STATE, Bus, read_holder
from common.commands.client import ended_runs, facts_of, started_runs, waiting_runs, with_bus
from common.messages import PREFIX, Assignment, WorkerBeat
from common.report.campaigns import CampaignLedger, ledgers
from common.report.tally import Tally

NAME = "status"
HELP = "show runs, workers, devices and what waits"
EXAMPLES = """\
  specgen status
  specgen status --json
  specgen status --campaigns    # and what each campaign has used"""

ALIVE_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    parser.add_argument("--campaigns", action="store_true", help="add each campaign's tokens and device time")


def run(args: argparse.Namespace) -> int:
    async def body(bus: Bus) -> int:
        status = await read_status(bus, campaigns=args.campaigns)
        print(msgspec.json.encode(status).decode() if args.json else _text(status))
        return 0

    return with_bus(NAME, body)


async def read_status(bus: Bus, *, campaigns: bool = False) -> dict[str, Any]:
    tallies = await _tallies(bus)
    assignment = await bus.table(STATE).get("assignment")
    queued = Counter(subject.split(".")[3] for subject in await bus.subjects(f"{PREFIX}.job.>"))
    dead = await bus.subjects(f"{PREFIX}.dead.>")
    status = {
        "runs": await _runs(bus, tallies),
        "workers": await _workers(bus),
        "roles": assignment.decode(Assignment).roles if assignment else {},
        "leases": await _leases(bus),
        "jobs": dict(queued),
        "dead_letters": sum(dead.values()),
    }
    return status | {"campaigns": await _campaigns(bus, tallies)} if campaigns else status


async def _tallies(bus: Bus) -> dict[str, Tally]:
    """Every run's that has started."""
    tallies = {name: Tally(start) for name, start in (await started_runs(bus)).items()}
    for name, tally in tallies.items():
        for fact in await facts_of(bus, name):
            tally.add(fact)
    return tallies


async def _campaigns(bus: Bus, tallies: dict[str, Tally]) -> list[CampaignLedger]:
    for delivery in await bus.history(f"{PREFIX}.ops.*.lease.>"):
        if delivery.message is not None:
            for tally in tallies.values():
                tally.add(delivery.message)
    return ledgers(tallies.values())


async def _runs(bus: Bus, tallies: dict[str, Tally]) -> list[dict[str, Any]]:
    ended, waiting = await ended_runs(bus), await waiting_runs(bus)
    rows = [{"run": name, "state": "waiting"} for name in waiting if name not in tallies]
    for name, tally in tallies.items():
        state = ended[name].reason if name in ended else "running" if name in waiting else "left unfinished"
        rows.append({"run": name, "state": state, **_progress(tally)})
    return rows


def _progress(tally: Tally) -> dict[str, Any]:
    best = tally.best()
    return {
        "iterations": len(tally.iteration_started), "of": tally.start.budget.iterations,
        "candidates": len(tally.proposed),
        "best": best["speedup"] if best else None,
    }


async def _workers(bus: Bus) -> list[dict[str, Any]]:
    """The last beat of each worker of the last seconds."""
    since = datetime.now(UTC) - timedelta(seconds=ALIVE_SECONDS)
    beats = [d.message for d in await bus.history(f"{PREFIX}.ops.*.worker.beat", since=since)]
    last = {beat.worker: beat for beat in beats if isinstance(beat, WorkerBeat)}
    return [{"worker": b.worker, "stage": b.stage, "jobs": b.jobs, "age": time.time() - b.at} for b in last.values()]


async def _leases(bus: Bus) -> dict[str, str]:
    table = bus.table(LEASES)
    entries = {key: await table.get(key) for key in await table.keys()}
    return {key: read_holder(entry.data).holder for key, entry in entries.items() if entry and entry.data}


def _text(status: dict[str, Any]) -> str:
    lines = ["runs"]
    for row in status["runs"]:
        best = f", best {row['best']:.2f}x" if row.get("best") else ""
        progress = f", iteration {row['iterations']} of {row['of']}" if "iterations" in row else ""
        lines.append(f"  {row['run']}: {row['state']}{progress}{best}")
    lines.append("workers")
    lines += [f"  {w['worker']} ({w['stage']}): {', '.join(w['jobs']) or 'idle'}" for w in status["workers"]]
    lines += ["devices", *(f"  {device}: {', '.join(roles)}" for device, roles in status["roles"].items())]
    lines += ["leases", *(f"  {key}: {holder}" for key, holder in status["leases"].items())]
    lines += _campaign_lines(status.get("campaigns", []))
    lines += [f"queued jobs: {status['jobs'] or 'none'}", f"dead letters: {status['dead_letters']}"]
    return "\n".join(lines)


def _campaign_lines(found: list[CampaignLedger]) -> list[str]:
    lines = [
        f"  {c.campaign} (weight {c.weight:g}): {c.runs} runs, {c.candidates} candidates, {c.main_tokens} tokens of "
        f"reasoning and answers, {c.fork_tokens} of forks, {c.device_seconds:.1f} device seconds"
        + (f", best {c.best:.2f}x" if c.best is not None else "")
        for c in found
    ]
    return ["campaigns", *lines] if lines else []
