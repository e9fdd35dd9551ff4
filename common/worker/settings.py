from __future__ import annotations

import msgspec


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    ack_wait: float = 10.0
    """Seconds after which the job of a worker that died is given to another; renewed while it works."""
    deliveries: int = 3
    """How often one attempt may be delivered: after that many workers died with it, the attempt has failed."""
    beat_seconds: float = 1.0
    drain_seconds: float = 30.0
    """On SIGTERM, how long the job under way may take before it is handed back."""
    device_poll: float = 0.05
    """Seconds between looks at a device that is held by another."""
    device_memory_mib: int = 0
    """Memory of the device a job may need, made free before it starts where a KV pool lives on the device; 0: what
    the pool's settings leave to a candidate."""
