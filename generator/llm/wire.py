"""The protocol's answers, as far as they are read. Chat and completions share one shape; unknown fields are skipped."""
from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class Usage(msgspec.Struct, frozen=True):
    """Token counts of one request as the endpoint gives them."""

    prompt: int
    completion: int
    cached: int | None = None
    """Prompt tokens found in the prefix cache; None where the endpoint does not say."""


class PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class RawUsage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None

    def usage(self) -> Usage:
        details = self.prompt_tokens_details
        return Usage(self.prompt_tokens, self.completion_tokens or 0, details.cached_tokens if details else None)


class Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Choice(msgspec.Struct, frozen=True):
    text: str | None = None
    delta: Delta | None = None
    token_ids: list[int] | None = None
    finish_reason: str | None = None


class Event(msgspec.Struct, frozen=True):
    """One event of a stream."""

    choices: list[Choice] = []
    usage: RawUsage | None = None
    error: Any = None


class Model(msgspec.Struct, frozen=True):
    id: str
    owned_by: str | None = None
    max_model_len: int | None = None


class Models(msgspec.Struct, frozen=True):
    data: list[Model]


class Tokens(msgspec.Struct, frozen=True):
    tokens: list[int]


class Text(msgspec.Struct, frozen=True):
    prompt: str


_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def parse(kind: type[T], data: bytes) -> T:
    """msgspec.DecodeError (of which ValidationError is one) where `data` is not such an answer."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    result: T = decoder.decode(data)
    return result


def error_text(body: bytes) -> tuple[str, str]:
    """(code, message) of an error body of OpenAI, vLLM or a proxy; the bare text where it is none of these."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "", body.decode(errors="replace")[:300].strip()
    return error_of(value)


def error_of(value: Any) -> tuple[str, str]:
    """The same of a decoded body: `{"error": {...}}`, `{"error": "..."}`, `{"message": ...}` or `{"detail": ...}`."""
    inner = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(inner, dict):
        return "", str(inner)[:300]
    message = inner.get("message") or inner.get("detail") or inner
    return str(inner.get("code") or inner.get("type") or ""), str(message)[:600]
