"""What prefixes cost on an engine, as measured. Pure."""
from __future__ import annotations

from bisect import bisect_right

import msgspec


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Qwen3-8B's shape in bf16 with vLLM 0.22 on an H100, by the first tokens of `bench.kv.gpu ours host --lender 1`
    (docs/kv.md); other figures can be read from a file (`--costs`)."""

    prefill: tuple[tuple[int, float], ...] = (
        (0, 0.0), (2_048, 0.055), (8_192, 0.227), (16_384, 0.512), (32_768, 1.286),
    )
    """(tokens, seconds) to compute a prefix from nothing."""
    bytes_per_token: int = 147_456
    host_bytes_s: float = 50e9
    """From pinned host memory to the GPU, beyond what any request takes."""
    pool_bytes_s: float = 210e9
    """From a pool on another GPU of the host over NVLink, likewise."""
    load_seconds: float = 0.05
    """Whatever is loaded takes two steps of the engine."""
    decode_tokens_s: float = 60.0
    """One stream among others."""

    def compute(self, cached: int, tokens: int) -> float:
        """Seconds to compute what is missing of a prefix."""
        return self._whole(tokens) - self._whole(min(cached, tokens))

    def load(self, tokens: int, bytes_s: float) -> float:
        return self.load_seconds + tokens * self.bytes_per_token / bytes_s if tokens else 0.0

    def _whole(self, tokens: int) -> float:
        """Linear between measurements, the last slope beyond them."""
        at = min(bisect_right(self.prefill, (tokens, float("inf"))), len(self.prefill) - 1)
        (low, before), (high, after) = self.prefill[at - 1], self.prefill[at]
        return before + (after - before) * (tokens - low) / (high - low)
