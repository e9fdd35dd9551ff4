"""A Qwen3 that knows one text: whatever its weights compute, the next token at a position is the text's.

Teacher forcing by a logits processor is refused beside speculative decoding. Here the model itself says the text, so
that proposals are verified, accepted and rejected by the engine as with any model, at the cost of any model of its
shape. The text is given by position, so one request runs at a time. The next token travels through the first channels
of the hidden state as hexadecimal digits, which bfloat16 holds exactly.

Loaded by vLLM's plugin mechanism in every process (`plugin.py`); chosen by
`--hf-overrides '{"architectures": ["KnownText"]}'`. `Control`, a worker extension, tells it the text and the proposer
how many tokens to propose.
"""
from __future__ import annotations

from typing import Any

import torch
from vllm.model_executor.models.qwen3 import Qwen3ForCausalLM

ARCHITECTURE = "KnownText"
DIGITS = 4


def register() -> None:
    from vllm import ModelRegistry  # noqa: PLC0415 - vLLM calls this while it is being imported

    ModelRegistry.register_model(ARCHITECTURE, "bench.engine.known:KnownText")


class KnownText(Qwen3ForCausalLM):
    """`follows`: (longest context + 1,), the token after each position."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        length = vllm_config.model_config.max_model_len + 1
        self.register_buffer("follows", torch.zeros(length, dtype=torch.int64), persistent=False)
        self.register_buffer("shifts", 4 * torch.arange(DIGITS, dtype=torch.int64), persistent=False)

    def forward(self, input_ids: Any, positions: torch.Tensor, *args: Any, **fields: Any) -> torch.Tensor:
        """hidden states: (tokens, width)."""
        hidden = super().forward(input_ids, positions, *args, **fields).clone()
        digits = (self.follows[positions].unsqueeze(1) >> self.shifts) & 15
        hidden[:, :DIGITS] = digits.to(hidden.dtype)
        return hidden

    def compute_logits(self, hidden_states: torch.Tensor, *args: Any, **fields: Any) -> torch.Tensor:
        """logits: (requested tokens, vocabulary), computed as ever and then replaced."""
        logits = super().compute_logits(hidden_states, *args, **fields)
        known = (hidden_states[:, :DIGITS].long() << self.shifts).sum(1, keepdim=True)
        return torch.full_like(logits, -1e4).scatter_(1, known, 0.0)


class Control:
    """Methods a worker gets in addition; called by `collective_rpc`."""

    model_runner: Any

    def learn(self, ids: list[int]) -> None:
        """The text from the prompt's first token on."""
        follows = self.model_runner.get_model().follows
        text = torch.tensor(ids[1:], dtype=torch.int64)
        follows.zero_()
        follows[: len(text)] = text.to(follows.device)

    def propose_at_most(self, tokens: int) -> None:
        """The proposer looks for as many as it was made for; the rest is left out."""
        drafter = self.model_runner.drafter
        found = self._found = getattr(self, "_found", drafter.propose)
        drafter.propose = lambda *args, **fields: [list(ids[:tokens]) for ids in found(*args, **fields)]
