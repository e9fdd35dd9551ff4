"""Teacher forcing: a vLLM logits processor that makes a request say a given text.

The engine prefills, decodes, caches, preempts and aborts for real; only which token comes next is decided by the
request: `"vllm_xargs": {"forced": "12 7 30"}` makes it generate these token ids and then the end of sequence. With
random weights of a real shape this gives an honest timing of recorded text, main generations and forks alike.

vLLM finds it by its plugin mechanism, an installed distribution's entry point, which `plugin.py` writes. vLLM's second
model runner takes no such plugin (0.22 picks it for Qwen3: `VLLM_USE_V2_MODEL_RUNNER=0`), and none takes one beside
speculative decoding.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig

KEY = "forced"


def forced_ids(params: SamplingParams) -> list[int] | None:
    """The ids a request is to say, None where it may say what it likes. ValueError where they are no ids."""
    given = (params.extra_args or {}).get(KEY)
    return None if given is None else [int(part) for part in str(given).split()]


class Forcing(LogitsProcessor):
    """How far a request has got is the length of its output, a list that vLLM itself appends to: so a request that
    was preempted, or whose tokens are not known on the host yet, is still at the right place."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        forced_ids(sampling_params)

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self._device = device
        eos = vllm_config.model_config.hf_text_config.eos_token_id
        self._end = int(eos[0] if isinstance(eos, Sequence) else eos)
        self._rows: dict[int, tuple[list[int], list[int]]] = {}
        """By place in the batch: the ids to say, and what was said so far."""

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if batch_update is None:
            return
        for index in batch_update.removed:
            self._rows.pop(index, None)
        for index, params, _, output in batch_update.added:
            ids = forced_ids(params)
            self._rows.pop(index, None)
            if ids is not None:
                self._rows[index] = (ids, output)
        for one, other, direction in batch_update.moved:
            self._move(one, other, swap=direction is MoveDirectionality.SWAP)

    def _move(self, one: int, other: int, *, swap: bool) -> None:
        moved, replaced = self._rows.pop(one, None), self._rows.pop(other, None)
        if moved is not None:
            self._rows[other] = moved
        if swap and replaced is not None:
            self._rows[one] = replaced

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """logits: (requests, vocabulary); the rows of forced requests leave one token possible."""
        if not self._rows:
            return logits
        said = [ids[len(output)] if len(output) < len(ids) else self._end for ids, output in self._rows.values()]
        at = torch.tensor([list(self._rows), said]).to(self._device, non_blocking=True)
        logits.index_fill_(0, at[0], float("-inf"))
        logits[at[0], at[1]] = 0.0
        return logits
