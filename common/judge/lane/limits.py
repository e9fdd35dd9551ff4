"""What limits a kernel, and by how much: its place under the roofline, as data and as a sentence for the LLM. Pure."""
from __future__ import annotations

from typing import Literal

import msgspec

_BOUND = 0.5
"""Share of what the device can do from which on that is what limits a kernel."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one call."""

    seconds: float
    bytes_moved: int
    """Inputs and outputs, each once: a kernel moves at least these, but for inputs it does not need."""
    operations: int
    """Of the task's own products and convolutions; a better algorithm may do fewer."""
    bytes_s: float
    """What a copy reaches on this device, read and written."""
    operations_s: float
    """What a product reaches."""

    @property
    def memory(self) -> float:
        """Share of the memory's speed; above 1 where the data came from a cache."""
        return self.bytes_moved / self.bytes_s / self.seconds

    @property
    def arithmetic(self) -> float:
        return self.operations / self.operations_s / self.seconds if self.operations else 0.0

    @property
    def bound(self) -> Literal["memory", "arithmetic", "neither"]:
        if max(self.memory, self.arithmetic) < _BOUND:
            return "neither"
        return "memory" if self.memory >= self.arithmetic else "arithmetic"

    def record(self) -> dict[str, object]:
        return {
            **msgspec.structs.asdict(self), "memory_share": self.memory, "arithmetic_share": self.arithmetic,
            "bound": self.bound,
        }


def sentence(limits: Limits) -> str:
    """For the prompt: what is reached, and what is left."""
    reached = f"{limits.bytes_moved / limits.seconds / 1e9:.3g} GB/s, {limits.memory:.0%} of a copy's"
    if limits.operations:
        reached += f"; {limits.operations / limits.seconds / 1e9:.3g} GFLOP/s, {limits.arithmetic:.0%} of a product's"
    match limits.bound:
        case "memory":
            left = max(1.0, 1 / limits.memory)
            return f"bound by memory ({reached}): at most {left:.1f}x is left unless fewer bytes move"
        case "arithmetic":
            left = max(1.0, 1 / limits.arithmetic)
            return f"bound by arithmetic ({reached}): at most {left:.1f}x is left at this precision"
        case _:
            return f"bound by neither memory nor products ({reached}): look at latency, launches and parallelism"
