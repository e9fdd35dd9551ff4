"""Splits a generation into reasoning and answer, keeping count of tokens and characters. Pure.

A marker belongs to the reasoning, wherever the endpoint cuts it into pieces, so nothing is held back but the first
few characters of a generation that may or may not be the opening marker.
"""
from __future__ import annotations

from dataclasses import dataclass

import msgspec

from common.messages.tokens import Channel
from generator.llm.profiles import Profile
from generator.llm.wire import Usage


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a generation in one channel. Positions count from the generation's first token and character."""

    text: str
    token_ids: tuple[int, ...] | None
    """None where the endpoint reports none; `first_token` is then 0 throughout."""
    channel: Channel
    first_token: int
    first_char: int
    finish_reason: str | None = None
    """Set on the last piece, which has no text: `stop` or `length`, or what else the endpoint says."""
    usage: Usage | None = None


@dataclass
class Splitter:
    """Feed it what arrives; it returns pieces."""

    profile: Profile
    channel: Channel | None
    closing_token: int | None = None
    token: int = 0
    char: int = 0
    own_field: bool = False
    """The endpoint sends reasoning in a field of its own, so its content is the answer."""
    _tail: str = ""
    _held: str = ""
    _held_ids: tuple[int, ...] = ()

    def feed(self, text: str, ids: tuple[int, ...] | None) -> list[Piece]:
        """Pieces for text whose channel its markers tell."""
        if self.channel is None:
            self._held += text
            self._held_ids += ids or ()
            if not self._decide():
                return []
            text, ids = self._held, (None if ids is None else self._held_ids)
            self._held, self._held_ids = "", ()
        return self._split(text, ids)

    def feed_as(self, channel: Channel, text: str) -> Piece:
        """A piece whose channel the endpoint told."""
        self.channel = channel
        return self._piece(text, None, channel)

    def rest(self, ids_known: bool) -> list[Piece]:
        """What is still held back when the generation ends: too short for a marker, so it is an answer."""
        if not self._held and not self._held_ids:
            return []
        self.channel = "answer"
        return self._split(self._held, self._held_ids if ids_known else None)

    def last(self, finish_reason: str, usage: Usage | None, ids_known: bool) -> Piece:
        piece = self._piece("", () if ids_known else None, self.channel or "answer")
        return msgspec.structs.replace(piece, finish_reason=finish_reason, usage=usage)

    def _decide(self) -> bool:
        begun, opening = self._held.lstrip(), self.profile.opening
        if begun.startswith(opening):
            self.channel = "reasoning"
        elif not opening.startswith(begun):
            self.channel = "answer"
        return self.channel is not None

    def _split(self, text: str, ids: tuple[int, ...] | None) -> list[Piece]:
        if self.channel != "reasoning":
            return [self._piece(text, ids, "answer")]
        cut = self._closing_end(text)
        if cut is None:
            return [self._piece(text, ids, "reasoning")]
        self.channel = "answer"
        if cut == len(text):
            return [self._piece(text, ids, "reasoning")]
        first, second = self._split_ids(ids)
        return [self._piece(text[:cut], first, "reasoning"), self._piece(text[cut:], second, "answer")]

    def _closing_end(self, text: str) -> int | None:
        """Where in `text` the closing marker ends, be its beginning in earlier pieces."""
        window = self._tail + text
        found = window.find(self.profile.closing)
        keep = len(self.profile.closing) - 1
        at = len(self._tail)
        self._tail = window[-keep:]
        return None if found < 0 else found + keep + 1 - at

    def _split_ids(self, ids: tuple[int, ...] | None) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
        """One event carried both channels: cut after the marker's token, or give the first piece all of them."""
        if ids is None:
            return None, None
        cut = ids.index(self.closing_token) + 1 if self.closing_token in ids else len(ids)
        return ids[:cut], ids[cut:]

    def _piece(self, text: str, ids: tuple[int, ...] | None, channel: Channel) -> Piece:
        piece = Piece(text=text, token_ids=ids, channel=channel, first_token=self.token, first_char=self.char)
        self.token += len(ids or ())
        self.char += len(text)
        return piece
