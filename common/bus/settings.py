"""Where the bus is and how much it keeps."""
from __future__ import annotations

import os
from typing import Literal

import msgspec

from common.errors import UsageError

Size = Literal["run", "tok", "cmd", "evt", "job", "res", "ops", "dead", "jrn"]


def default_state_dir() -> str:
    """`$XDG_STATE_HOME/specgen`, by default under the home directory."""
    return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "specgen")


class BusSettings(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    url: str | None = None
    """`nats://host:port` of a running server. None: the server announced in `state_dir`."""
    token: str | None = None
    """Token of the server at `url`; an announced one has its own. Never logged, never in an argument vector."""
    state_dir: str = msgspec.field(default_factory=default_state_dir)
    """Where our own server keeps its store, its port and its announcement."""
    host: str = "127.0.0.1"
    """Address our own server listens on. Any other than the loopback lets other hosts in, by token, unencrypted."""
    max_payload: int = 4 * 2**20
    """Largest message in bytes, at most 64 MiB."""
    connect_seconds: float = 10.0
    """How long a first connection is tried."""
    retry_seconds: float = 60.0
    """How long a request is retried while the server is away."""
    silent_seconds: float = 20.0
    """Our own server is killed and started again when it has answered nobody for so long."""
    lease_seconds: float = 10.0
    """A lease not renewed for this long is free again. Renewed every third of it."""
    pending_messages: int = 65_536
    """Bound of a live subscription's queue; what does not fit is dropped and counted."""
    keep_days: float = 30.0
    """Age at which stored messages go, in every file stream."""
    token_minutes: float = 15.0
    """Age at which the token stream forgets, in memory."""
    stream_mib: dict[Size, int] = msgspec.field(default_factory=dict)
    """Size limits in MiB that differ from the defaults in `streams.py`, e.g. `{evt = 8192}`."""

    def __post_init__(self) -> None:
        if not 4096 <= self.max_payload <= 64 * 2**20:
            raise ValueError("max_payload must be between 4096 and 67108864 bytes")
        for name in ("connect_seconds", "retry_seconds", "silent_seconds", "keep_days", "token_minutes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        if min(self.stream_mib.values(), default=1) < 1:
            raise ValueError("stream_mib must be at least 1 for each stream")
        if self.lease_seconds < 0.3:
            raise ValueError("lease_seconds must be at least 0.3")

    def __repr__(self) -> str:
        return f"BusSettings(url={self.url!r}, state_dir={self.state_dir!r}, token={'***' if self.token else None})"

    def without_token(self) -> BusSettings:
        """For files that others read."""
        return msgspec.structs.replace(self, token=None)


def require_name(name: str) -> str:
    """A name that can stand in a subject; UsageError otherwise."""
    if not name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
        raise UsageError(f"{name!r} cannot name a client of the bus: use A-Za-z0-9_-")
    return name
