"""What an endpoint was found to be able to do."""
from __future__ import annotations

from typing import Literal

import msgspec

from generator.llm.profiles import Profile

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
    profile: Profile
    """How the model marks its reasoning: as its template says, else as its family does."""
    switches: bool = False
    """Its template takes the switches that let a hybrid model reason."""
    closing_token: int | None = None
    """Id of the marker that ends the reasoning, where it is one token."""
