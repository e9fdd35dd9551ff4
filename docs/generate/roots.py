"""Who writes and who reads what, by the first word of a subject: what no type can say."""
from __future__ import annotations

from dataclasses import dataclass

from common.bus.settings import BusSettings
from common.bus.streams import STREAMS, mib
from common.messages import ALL


@dataclass(frozen=True)
class Root:
    name: str
    what: str
    writers: str
    readers: str


ROOTS = (
    Root("run", "requests to run", "CLI", "generator"),
    Root("tok", "token streams, as they arrive", "generator", "trigger, `tap`"),
    Root("jrn", "token journals, for a replaced generator", "generator", "generator"),
    Root("cmd", "requests to fork, stop, abort, cancel", "trigger, CLI", "generator"),
    Root("evt", "the facts of a run, its log", "the run's generator alone", "everyone"),
    Root("job", "work for devices", "scheduler", "validator, profiler"),
    Root("res", "results of work", "validator, profiler; scheduler after the last attempt", "generator, scheduler"),
    Root("ctl", "withdrawn work", "scheduler", "validator, profiler"),
    Root("pool", "which device serves which stage", "scheduler", "validator, profiler"),
    Root("ops", "device facts: beats, attempts, leases, roles, memory", "workers, scheduler, kvstore, generator",
         "everyone"),
    Root("kv", "memory of a device asked for and given", "validator, profiler, kvstore",
         "kvstore, validator, profiler"),
    Root("dead", "messages nobody could handle, with the reason", "every service", "operator (`specgen dead`)"),
)


def root_of(subject: str) -> Root:
    """ValueError where a message goes to a root that no row is about."""
    name = subject.split(".")[0]
    for root in ROOTS:
        if root.name == name:
            return root
    raise ValueError(f"no row in docs/generate/roots.py is about the subjects {name}.>: add one")


def used_roots() -> list[Root]:
    names = {root_of(kind.SUBJECT).name for kind in ALL}
    return [root for root in ROOTS if root.name in names]


def kept(root: Root) -> str:
    """Where and for how long messages of a root are kept, by the default settings."""
    settings = BusSettings()
    for stream in STREAMS:
        if stream.size != root.name:
            continue
        age = f"{settings.token_minutes:g} minutes" if stream.storage == "memory" else f"{settings.keep_days:g} days"
        until = "until done" if stream.retention == "workqueue" else age
        full = "refuses new ones when full" if stream.discard == "new" else "drops the oldest when full"
        return f"`{stream.name}`, {stream.storage}, {until}, {mib(stream, settings):,} MiB, {full}"
    return "not in a stream"
