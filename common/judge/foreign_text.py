"""The useful part of a compiler's or Python's message, delimited and truncated.

The text comes from a candidate and is never trusted: control characters go, long lines are cut, and it stands between
two markers that it cannot contain.
"""
from __future__ import annotations

import re

from common.messages.judgement import Feedback

LIMIT = 3000
"""Characters of foreign text kept."""
BEGIN, END = "<<<output", "output>>>"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*\x07")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
_PATH = re.compile(r"(?:/[\w.+@-]+)+/([\w.+-]+)")
_ERROR = re.compile(
    r"\b(?:fatal )?error\b ?(?:\w?\d*)?:|: error |undefined reference|undefined symbol|multiple definition"
)
_NOISE = re.compile(
    r"^(?:ninja:|FAILED:|In file included|\s+from |\[\d+/\d+\]|.*\bwarning:|\d+ errors? generated|.*ld returned|"
    r".*compilation terminated|.*error: command .* failed)"
)
_FRAME = re.compile(r'^  File "([^"]+)", line (\d+)')
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning)\b")
_MAX_LINE = 300
_AFTER = 4
"""Lines kept after an error line: source, caret, note."""


def compiler_feedback(text: str, *, summary: str = "the kernel does not compile") -> Feedback:
    """Feedback whose message is the errors of a compiler's output, or the end of a Python traceback, or the tail."""
    return Feedback(summary=_headline(summary, text), message=delimit(useful_part(text)))


def useful_part(text: str) -> str:
    """At most LIMIT characters: a compiler's errors with the lines that explain them, else a traceback's end."""
    lines = [line[:_MAX_LINE] for line in clean(text).splitlines()]
    errors = _error_blocks(lines)
    if errors:
        return truncate("\n".join(errors))
    return truncate("\n".join(_traceback(lines) or lines), keep_end=True)


def clean(text: str) -> str:
    """Without colours, control characters and directories of this machine."""
    text = _CONTROL.sub("", _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    return _PATH.sub(r"\1", text)


def delimit(text: str) -> str:
    """Between two markers; a marker inside is broken up."""
    if not text.strip():
        return ""
    inner = text.replace(BEGIN, "<< <output").replace(END, "output> >>")
    return f"{BEGIN}\n{inner.strip()}\n{END}"


def truncate(text: str, *, limit: int = LIMIT, keep_end: bool = False) -> str:
    """At most `limit` characters, and a note of how many are missing."""
    if len(text) <= limit:
        return text
    cut = len(text) - limit
    note = f"[{cut} characters left out]"
    return f"{note}\n{text[-limit:]}" if keep_end else f"{text[:limit]}\n{note}"


def _error_blocks(lines: list[str]) -> list[str]:
    """Each error line with what follows it, without repeats and without the build tool's own lines."""
    kept: list[str] = []
    seen: set[str] = set()
    for i, line in enumerate(lines):
        if not _ERROR.search(line) or _NOISE.match(line) or line in seen:
            continue
        seen.add(line)
        kept.append(line)
        for following in lines[i + 1 : i + 1 + _AFTER]:
            if _ERROR.search(following) or _NOISE.match(following) or not following.strip():
                break
            kept.append(following)
    return kept


def _traceback(lines: list[str]) -> list[str]:
    """The last traceback: its innermost frames and the exception with its message."""
    starts = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if not starts:
        return []
    body = lines[starts[-1] + 1 :]
    frames = [i for i, line in enumerate(body) if _FRAME.match(line)]
    return body[frames[-3] :] if len(frames) > 3 else body


def _headline(summary: str, text: str) -> str:
    """The summary with the first error, or the exception, in one line."""
    lines = [line for line in clean(text).splitlines() if line.strip()]
    first = next((line for line in lines if _ERROR.search(line) and not _NOISE.match(line)), None)
    if first is None:
        trace = _traceback(lines)
        first = next((line for line in trace if _EXCEPTION.match(line)), None)
    return f"{summary}: {first.strip()[:200]}" if first else summary
