"""The candidate in an answer: the last complete fenced block that defines `ModelNew`. Pure, and repairs nothing."""
from __future__ import annotations

import re

import msgspec

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)
_MODEL = re.compile(r"^class\s+ModelNew\b", re.MULTILINE)


class Extraction(msgspec.Struct, frozen=True):
    """A source, or the reason why there is none."""

    source: str | None
    reason: str = ""


class Block(msgspec.Struct, frozen=True):
    """A fenced block; `end` is the position after its closing fence."""

    text: str
    tag: str
    start: int
    end: int
    closed: bool


def extract(text: str, *, in_fence: bool = False, finish_reason: str = "stop") -> Extraction:
    """The candidate in an answer.

    `in_fence`: the prompt had opened the fence already, so the text starts with code; where the generation then ended
    at its stop text, the end of the text closes the block. A block cut by a token limit never counts.
    """
    found = blocks("```python\n" + text if in_fence else text)
    holding = [block for block in found if _MODEL.search(block.text)]
    complete = [block for block in holding if block.closed]
    if complete:
        return Extraction(complete[-1].text)
    if holding and in_fence and len(found) == 1 and finish_reason == "stop":
        return Extraction(_ended(holding[-1].text))
    return Extraction(None, _reason(found, bool(holding), finish_reason))


def _ended(code: str) -> str:
    """The stop text that ended a fork is a line break and a fence: the line break was the code's."""
    return code if code.endswith("\n") else code + "\n"


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a text, in order; the last may be open. A fence closes with a bare line of its own kind."""
    result: list[Block] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif _closes(opened, fence):
            result.append(_block(text, opened, fence.start(), fence.end(), closed=True))
            opened = None
    if opened is not None:
        result.append(_block(text, opened, len(text), len(text), closed=False))
    return result


def _closes(opened: re.Match[str], fence: re.Match[str]) -> bool:
    return fence[1].startswith(opened[1]) and not fence[2].strip()


def _block(text: str, opened: re.Match[str], stop: int, end: int, *, closed: bool) -> Block:
    return Block(text[opened.end() + 1 : stop], opened[2].strip(), opened.start(), end, closed)


def _reason(found: list[Block], holding: bool, finish_reason: str) -> str:
    if finish_reason == "length":
        return "the answer was cut at the token limit"
    if holding:
        return "the block that defines ModelNew is not closed"
    if not found:
        return "the answer holds no fenced code block"
    return "no code block defines class ModelNew"
