"""How many tokens an engine step would give with prompt lookup, counted on a recorded text with vLLM's own proposer.

A step proposes what followed the last tokens' earlier occurrence; of these the tokens up to the first that the text
does not have are accepted, and the text's next token comes with every step. Needs vLLM's environment.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from vllm.v1.spec_decode.ngram_proposer import _find_longest_matched_ngram_and_propose_tokens as propose


def tokens_a_step(context: Sequence[int], text: Sequence[int], *, proposed: int, ngram: int) -> float:
    """Mean tokens a step while `text` is generated after `context`."""
    tokens = np.array([*context, *text], dtype=np.int32)
    at, steps = len(context), 0
    while at < len(tokens):
        drafts = propose(tokens[:at], ngram, ngram, len(tokens) + 1, proposed)
        at += _matching(drafts, tokens[at:]) + 1
        steps += 1
    return len(text) / max(1, steps)


def _matching(drafts: np.ndarray, text: np.ndarray) -> int:
    length = min(len(drafts), len(text))
    wrong = np.flatnonzero(drafts[:length] != text[:length])
    return int(wrong[0]) if len(wrong) else length
