"""Sampling parameters; main generations and forks have their own."""
from __future__ import annotations

import msgspec


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    max_tokens: int = 32_768
    """Most tokens to generate; cut to what the context leaves where that is known."""
    temperature: float = 0.6
    top_p: float = 0.95
    seed: int | None = None
    stop: tuple[str, ...] = ()
    """Texts that end the generation and are left out of it."""


MAIN = Sampling()
"""What the makers of Qwen3, QwQ and DeepSeek-R1 advise for reasoning, in their model cards."""

FENCE_STOP = "\n```"
"""Ends a fork when its code block closes. Only sent where the prompt ends inside a fence."""

FORK = Sampling(temperature=0.1, top_p=1.0, max_tokens=8_192, stop=(FENCE_STOP,))
"""A fork copies its decisions from the reasoning: nearly greedy."""
