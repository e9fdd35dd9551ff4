"""What a request says, as far as the replay acts on it; sampling parameters are taken and ignored."""
from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class Body(msgspec.Struct, frozen=True, kw_only=True):
    model: str = ""
    """Empty takes the recording's model."""
    prompt: str | list[int] = ""
    messages: list[Message] | None = None
    continue_final_message: bool = False
    tokens: list[int] = []
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    return_token_ids: bool = False

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def parse(data: bytes) -> Body:
    """msgspec.DecodeError (of which ValidationError is one) where it is no request."""
    return msgspec.json.decode(data, type=Body)
