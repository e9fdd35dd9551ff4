"""The token stream (for readers) and its journal (for resuming)."""
from __future__ import annotations

from typing import ClassVar, Literal

from common.messages.base import Message

Channel = Literal["reasoning", "answer"]


class TokenDelta(Message, frozen=True, kw_only=True):
    """A piece of a generation as it arrives. `seq` counts the deltas of a generation from 0; a gap is refetched.

    Positions count from the generation's first token or character, think markers included.
    """

    SUBJECT: ClassVar[str] = "tok.{run}.{iteration}.{generation}"

    run: str
    iteration: int
    generation: str
    seq: int
    at: float
    first_token: int
    token_ids: tuple[int, ...] | None
    """None where the endpoint reports no ids; positions in tokens are then unknown and forks cut at a character."""
    first_char: int
    text: str
    channel: Channel


class TokenJournal(Message, frozen=True, kw_only=True):
    """What a generation produced since its last journal entry, kept on disk so that a killed generator can go on."""

    SUBJECT: ClassVar[str] = "jrn.{run}.{iteration}.{generation}"

    run: str
    iteration: int
    generation: str
    seq: int
    first_token: int
    token_ids: tuple[int, ...] | None
    first_char: int
    text: str
    reasoning_tokens: int
    reasoning_chars: int
    """How much of this entry, from its beginning, is reasoning; the rest is the answer."""
    deltas: int
    """Deltas of the token stream up to the end of this entry: a resumed generation counts on from here."""
