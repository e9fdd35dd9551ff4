"""How model families mark their reasoning in the text they generate.

This is what their names tell. Where the endpoint renders its chat template, the template's word counts (`template.py`):
so Qwen3 and QwQ, GLM with its shorter closing, or DeepSeek, whose prompt opens the reasoning only if asked to, need no
entry of their own here.
"""
from __future__ import annotations

import msgspec


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The markers of one family."""

    name: str
    opening: str = "<think>"
    """Begins the reasoning, in the generated text or already at the end of the prompt."""
    closing: str = "</think>"
    """The text whose appearance ends the reasoning; it still belongs to it."""
    close_with: str = "\n</think>\n\n"
    """What a fork inserts to end the reasoning early."""
    template_opens: bool = False
    """Whether the chat template ends in `opening`. Read from the prompt where tokens are known; chat-only
    endpoints that leave the markers in the text need to be told."""


_THINK = Profile(name="think")
_OPENED = Profile(name="think-opened", template_opens=True)
_HARMONY = Profile(
    name="harmony",
    opening="<|channel|>analysis<|message|>",
    closing="<|channel|>final<|message|>",
    close_with="<|end|><|start|>assistant<|channel|>final<|message|>",
)
_MAGISTRAL = Profile(name="magistral", opening="[THINK]", closing="[/THINK]", close_with="[/THINK]")
_SEED = Profile(
    name="seed", opening="<seed:think>", closing="</seed:think>", close_with="\n</seed:think>", template_opens=False
)
_BY_NAME = (
    ("gpt-oss", _HARMONY),
    ("magistral", _MAGISTRAL),
    ("seed-oss", _SEED),
    ("minimax-m2", _OPENED),
    ("qwq", _OPENED),
    ("thinking-2507", _OPENED),
    ("deepseek-r1", _OPENED),
)


def profile_for(model: str) -> Profile:
    """The profile of the family whose name occurs in `model`; `<think>` markers for all others."""
    return next((profile for part, profile in _BY_NAME if part in model.lower()), _THINK)
