"""Why an engine did not start, out of its log: the one line a person needs. Pure."""
from __future__ import annotations

import re

_PREFIX = re.compile(r"^(?:\([\w ]+ pid=\d+\) )?(?:[A-Z]+ \d\d-\d\d [\d:]+ \[[^\]]*\] ?)?")
_SAYS_WHY = re.compile(r"^(?:[\w.]*(?:Error|Exception|Interrupt): |\s*Value error, |[\w.-]+: error: )(.*)")
_SAYS_NOTHING = re.compile(r"(?:Engine core|WorkerProc) initialization failed|^\d+ validation errors? for")
_LONGEST = 400


def complaint(log: str, code: int | None) -> str:
    """The last line that names an error, without its prefix; else the last line, or how it ended.

    `code` is the exit code, negative for a signal; None where it still ran.
    """
    lines = [_PREFIX.sub("", line) for line in log.splitlines()]
    for line in reversed(lines):
        found = _SAYS_WHY.match(line)
        if found and not _SAYS_NOTHING.search(found[1]):
            return _cut(line)
    if code is not None and code < 0:
        return f"it was killed by signal {-code}; where nobody did so, the host ran out of memory"
    last = next((line for line in reversed(lines) if line.strip()), "")
    return _cut(last) or f"it ended with code {code} and said nothing"


def _cut(line: str) -> str:
    line = " ".join(line.split()).removeprefix("Value error, ")
    return line if len(line) <= _LONGEST else line[:_LONGEST].rsplit(" ", 1)[0] + " …"
