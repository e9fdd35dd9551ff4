"""Every stream and bucket of the bus, with its limits.

A stream that must not lose anything refuses new messages when it is full (`discard: new`, the writer gets StreamFull);
one that only informs drops its oldest. Work queues republish headers to a bell subject, which wakes waiting workers.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from common.bus.settings import BusSettings, Size
from common.messages.base import PREFIX

BELL = f"{PREFIX}.bell"
STATE, LEASES = "SG_STATE", "SG_LEASE"
_NANO = 1_000_000_000


@dataclass(frozen=True)
class Stream:
    """One row of the table. `mib` is the default size limit, `days` None means `keep_days`."""

    size: Size
    mib: int
    retention: str = "limits"
    storage: str = "file"
    discard: str = "new"

    @property
    def name(self) -> str:
        return f"SG_{self.size.upper()}"

    @property
    def root(self) -> str:
        return f"{PREFIX}.{self.size}"


STREAMS: tuple[Stream, ...] = (
    Stream("run", 256, retention="workqueue"),
    Stream("tok", 256, storage="memory", discard="old"),
    Stream("cmd", 256),
    Stream("evt", 4096),
    Stream("job", 1024, retention="workqueue"),
    Stream("res", 2048),
    Stream("ops", 1024, discard="old"),
    Stream("dead", 256, discard="old"),
    Stream("jrn", 2048, discard="old"),
)
BUCKET_MIB = 64


def mib(stream: Stream, settings: BusSettings) -> int:
    return settings.stream_mib.get(stream.size, stream.mib)


def stream_of(pattern: str) -> Stream:
    """The one stream a full subject pattern belongs to; ValueError where there is none."""
    for stream in STREAMS:
        if pattern.startswith(stream.root + "."):
            return stream
    raise ValueError(f"{pattern} belongs to no stream: the streams hold {', '.join(s.root + '.>' for s in STREAMS)}")


def bell_of(pattern: str) -> str:
    """The subject that rings when something arrives under a work queue's pattern."""
    return BELL + pattern.removeprefix(PREFIX)


def stream_config(stream: Stream, settings: BusSettings) -> dict[str, Any]:
    """The stream as the server's API wants it; times in nanoseconds, sizes in bytes."""
    days = settings.token_minutes / 1440 if stream.storage == "memory" else settings.keep_days
    config: dict[str, Any] = {
        "name": stream.name,
        "subjects": [f"{stream.root}.>"],
        "retention": stream.retention,
        "storage": stream.storage,
        "discard": stream.discard,
        "max_bytes": mib(stream, settings) * 2**20,
        "max_age": math.floor(days * 86_400 * _NANO),
        "duplicate_window": 120 * _NANO,
        "allow_direct": True,
        "num_replicas": 1,
    }
    if stream.retention == "workqueue":
        config["republish"] = {"src": f"{stream.root}.>", "dest": f"{bell_of(stream.root)}.>", "headers_only": True}
        config |= {"max_msgs_per_subject": 1, "discard_new_per_subject": True}
    return config


def bucket_config(bucket: str, settings: BusSettings) -> dict[str, Any]:
    """A key-value bucket is a stream that keeps one message a key; leases run out, other keys only where asked to."""
    age = math.floor(settings.lease_seconds * _NANO) if bucket == LEASES else 0
    return {
        "name": f"KV_{bucket}",
        "subjects": [f"$KV.{bucket}.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_bytes": BUCKET_MIB * 2**20,
        "max_age": age,
        "max_msgs_per_subject": 1,
        "duplicate_window": min(age, 120 * _NANO) if age else 120 * _NANO,
        "allow_msg_ttl": True,
        "deny_delete": True,
        "allow_direct": True,
        "num_replicas": 1,
    }


def all_configs(settings: BusSettings) -> list[dict[str, Any]]:
    return [stream_config(s, settings) for s in STREAMS] + [bucket_config(b, settings) for b in (STATE, LEASES)]


def store_bytes(settings: BusSettings, storage: str) -> int:
    """What the server must be allowed to keep: it reserves every stream's limit up front."""
    total = sum(mib(s, settings) for s in STREAMS if s.storage == storage)
    return (total + (2 * BUCKET_MIB if storage == "file" else 0) + 256) * 2**20
