"""How a generation looks on the wire: completions with token ids, chats with reasoning apart or between markers."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from generator.replay.engine import Request
from generator.replay.tokens import CLOSING, OPENING


class Shape(Protocol):
    def choices(self, text: str, ids: tuple[int, ...]) -> list[dict[str, Any]]: ...
    def last(self, finish_reason: str) -> dict[str, Any]: ...
    def whole(self, text: str, request: Request) -> dict[str, Any]: ...


@dataclass
class Completion:
    with_ids: bool

    def choices(self, text: str, ids: tuple[int, ...]) -> list[dict[str, Any]]:
        return [self._choice(text, ids)]

    def last(self, finish_reason: str) -> dict[str, Any]:
        return self._choice("", ()) | {"finish_reason": finish_reason}

    def whole(self, text: str, request: Request) -> dict[str, Any]:
        return self._choice(text, request.ids) | {"finish_reason": request.finish_reason}

    def _choice(self, text: str, ids: tuple[int, ...]) -> dict[str, Any]:
        return {"index": 0, "text": text} | ({"token_ids": ids} if self.with_ids else {})


@dataclass
class Chat:
    """`field` takes the reasoning; without one it stays in the content, between its markers."""

    field: str
    reasoning: bool
    begun: bool
    """The opening marker has been said."""

    def choices(self, text: str, ids: tuple[int, ...]) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta} for delta in self._deltas(text)]

    def last(self, finish_reason: str) -> dict[str, Any]:
        return {"index": 0, "delta": {}, "finish_reason": finish_reason}

    def whole(self, text: str, request: Request) -> dict[str, Any]:
        message: dict[str, str] = {"role": "assistant"}
        for delta in self._deltas(text):
            message |= delta
        return {"index": 0, "message": message, "finish_reason": request.finish_reason}

    def _deltas(self, text: str) -> list[dict[str, str]]:
        """A marker is a token of its own, so it is never cut."""
        if not self.field:
            lead = OPENING if self.reasoning and not self.begun else ""
            self.begun = True
            return [{"content": lead + text}]
        if not self.reasoning:
            return [{"content": text}]
        thought, closed, answer = text.partition(CLOSING)
        self.reasoning = not closed
        deltas = [{self.field: thought}] if thought else []
        return deltas + ([{"content": answer}] if answer else [])


def usage(prompt: int, completion: int, cached: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
