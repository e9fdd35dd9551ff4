"""What an endpoint was found to be able to do."""
from __future__ import annotations

from typing import Literal

import msgspec

Mode = Literal["tokens", "text", "chat"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    mode: Mode
    """`tokens`: prompts and pieces are token ids. `text`: prompts are ids, pieces are text, and a fork tokenises the
    reasoning again. `chat`: messages only; a fork is a chat request."""
    context: int | None
    """Tokens the model takes, prompt and answer together; None where the endpoint does not say."""
    vllm: bool
    """vLLM's extensions of the protocol are understood: priority, continued messages, template switches."""
    continues: bool = False
    """A chat endpoint that goes on from an assistant's unfinished message."""
    closing_token: int | None = None
    """Id of the marker that ends the reasoning, where it is one token."""
