"""The assumptions. Every report prints them."""
from __future__ import annotations

from typing import Literal

import msgspec

Forks = Literal["none", "burst", "first", "value"]


class World(msgspec.Struct, frozen=True, kw_only=True):
    devices: int = 18
    """Each can validate and profile."""
    workers: int = 0
    """Jobs that a stage's workers take at once; 0: as many as there are devices."""
    runs: int = 5
    iterations: int = 20
    """Of each run."""
    campaigns: int = 1
    """The runs are dealt to as many, in turn."""
    seed: int = 1

    rate: float = 50.0
    """Tokens a second of one generation alone."""
    slowdown: float = 0.03
    """Share by which each running fork slows the main generation of its run down."""
    prefill_seconds: float = 0.2
    """From the request to a fork's first token, its prefix cached."""
    pause_seconds: float = 0.1
    """From the end of an iteration to the first token of the next."""
    forks: Forks = "burst"
    """`burst` forks `burst` times at every completed kernel of the reasoning, as the published rule may (its K is not
    known); `first` and `value` are the trigger's own policies; `none` does not speculate."""
    burst: int = 4
    forks_per_iteration: int = 64
    stop: str = "mean"
    drain_seconds: float = 900.0

    wins: float | None = None
    """Share of the passing kernels that clear the stop policy's bar, drawn beforehand; None leaves it to the recorded
    speedups and the run's H. Drawn, two policies stop at the same kernels, whatever they did before."""
    service: float = 1.0
    """Factor on all judging times."""
    compile_share: float = 0.0
    """Part of a validation that is done before a device is needed."""
    message_seconds: float = 0.002
    """From a writer to its reader."""
    poll_seconds: float = 0.05
    """A job that waits for a device looks for one this often."""
    kill_seconds: float = 0.01
    """From a cancellation to the device being free."""

    deaths_per_hour: float = 0.0
    """Of a worker at work (kill -9); its job comes again after `ack_wait`, its device is free after `lease_seconds`."""
    faults_per_hour: float = 0.0
    """Of a device: it answers nothing for `fault_seconds`."""
    fault_seconds: float = 60.0
    ack_wait: float = 10.0
    lease_seconds: float = 10.0

    @property
    def slots(self) -> int:
        return self.workers or self.devices
