"""A tokenizer without a vocabulary: a token is up to four ASCII characters, or one other character. Pure.

Ids decode one by one, so any cut of a token list decodes to a cut of the text. Markers and chat roles are tokens of
their own, as in a real model's vocabulary. All ids fit into 31 bits.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

OPENING, CLOSING = "<think>", "</think>"
_SPECIAL = (OPENING, CLOSING, "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
_BASE = 129
_FIRST = len(_SPECIAL)
_WIDE = 1 << 29
"""Above every group of four: 129**4 < 2**29."""
_SPLIT = re.compile("(" + "|".join(map(re.escape, _SPECIAL)) + ")|([\x00-\x7f])|([^\x00-\x7f])")
ASSISTANT = "<|assistant|>\n"


def encode(text: str) -> list[int]:
    """The ids of a text, four characters a token where nothing special comes between."""
    ids: list[int] = []
    group = ""
    for special, plain, wide in _SPLIT.findall(text):
        if plain:
            group += plain
            if len(group) < 4:
                continue
        if group:
            ids.append(_pack(group))
            group = ""
        if special:
            ids.append(_SPECIAL.index(special))
        elif wide:
            ids.append(_WIDE + ord(wide))
    return [*ids, _pack(group)] if group else ids


def decode(ids: Iterable[int]) -> str:
    """ValueError where an id is none of this tokenizer's."""
    return "".join(map(_unpack, ids))


def render(messages: Sequence[tuple[str, str]], *, open_turn: bool) -> str:
    """The chat template over (role, content). An open turn begins the assistant's reasoning; otherwise the last message
    is left open."""
    turns = [f"<|{role}|>\n{content}" for role, content in messages]
    text = "<|end|>\n".join(turns)
    return f"{text}<|end|>\n{ASSISTANT}{OPENING}\n" if open_turn else text


def _pack(group: str) -> int:
    value = 0
    for char in group:
        value = value * _BASE + ord(char) + 1
    return _FIRST + value


def _unpack(token: int) -> str:
    if 0 <= token < _FIRST:
        return _SPECIAL[token]
    if token >= _WIDE:
        return chr(token - _WIDE)
    value, chars = token - _FIRST, ""
    while value > 0:
        value, digit = divmod(value, _BASE)
        if digit == 0:
            break
        chars = chr(digit - 1) + chars
    if value or not chars or len(chars) > 4:
        raise ValueError(f"{token} is no token of this tokenizer")
    return chars
