"""`specgen tap`: what goes over the bus, decoded, as it goes."""
from __future__ import annotations

import argparse
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import msgspec

from common.bus import Bus, Delivery
from common.bus.tap import full_pattern
from common.bus.tap import tap as tap_bus
from common.commands.client import with_bus
from common.errors import UsageError
from common.messages import PREFIX, decode, message_type

NAME = "tap"
HELP = "show messages as they go over the bus, with history"
EXAMPLES = """\
  specgen tap
  specgen tap 'evt.>' --since 10m
  specgen tap 'evt.cauchy_smoother-20260101-120000-1a2b.>' --since 1d --json | jq .message
  specgen tap 'tok.*.*.main'
  specgen tap '$KV.SG_STATE.>'"""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = 160
"""Characters of a text shown in the table form; --json shows all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pattern", nargs="?", default=">", metavar="PATTERN",
        help=f"subjects, without {PREFIX}: `*` is one word, `>` is the rest (default: all)",
    )  # fmt: skip
    parser.add_argument("--since", metavar="TIME", help="begin with what is stored, this far back: 30s, 10m, 2h, 1d")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, complete")


def run(args: argparse.Namespace) -> int:
    pattern, since = checked_pattern(args.pattern), parse_since(args.since, time.time())

    async def body(bus: Bus) -> int:
        await tap(bus, pattern, since, args.json, sys.stdout)
        return 0

    try:
        return with_bus(NAME, body)
    except KeyboardInterrupt:
        return 0


async def tap(bus: Bus, pattern: str, since: datetime | None, as_json: bool, out: TextIO) -> None:
    """Write one line a message until cancelled."""

    def show(delivery: Delivery) -> None:
        print(json_line(delivery) if as_json else text_line(delivery), file=out, flush=True)

    await tap_bus(bus, pattern, since, show)


def checked_pattern(pattern: str) -> str:
    """The full pattern; UsageError where it is none."""
    words = full_pattern(pattern).split(".")
    if not all(words) or re.search(r"\s", pattern) or ">" in "".join(words[:-1]) or any(_mixed(w) for w in words):
        raise UsageError(f"{pattern!r} is no pattern: dotted words, `*` for one word, `>` at the end for the rest")
    return ".".join(words)


def _mixed(word: str) -> bool:
    return len(word) > 1 and bool(set(word) & set("*>"))


def parse_since(text: str | None, now: float) -> datetime | None:
    """`10m` before `now`; UsageError for anything else than a number and one of s, m, h, d, and for more than there
    are days."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise UsageError(f"--since {text} is no time: write 30s, 10m, 2h or 1d")
    try:
        return datetime.fromtimestamp(now, UTC) - timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    except OverflowError:
        raise UsageError(f"--since {text} is too far back") from None


def row(delivery: Delivery) -> dict[str, Any]:
    """A message as plain data: what MessagePack holds, or its bytes (base64 in JSON), and what is wrong with it."""
    kind = message_type(delivery.subject)
    found: dict[str, Any] = {
        "time": delivery.time, "subject": delivery.subject, "sequence": delivery.sequence or None,
        "type": kind.__name__ if kind else None,
    }  # fmt: skip
    try:
        found["message"] = msgspec.msgpack.decode(delivery.data)
        if kind is not None:
            decode(kind, delivery.data)
    except msgspec.MsgspecError as error:
        found["error"] = str(error)
        found.setdefault("bytes", delivery.data)
    if delivery.headers:
        found["headers"] = delivery.headers
    return found


def json_line(delivery: Delivery) -> str:
    return msgspec.json.encode(row(delivery), enc_hook=repr).decode()


def text_line(delivery: Delivery) -> str:
    shown = row(delivery)
    clock = datetime.fromtimestamp(delivery.time).strftime("%H:%M:%S.%f")[:-3]
    body = shown["message"] if "message" in shown else shown.get("bytes", b"")
    mark = f" !{shown['error']}" if "error" in shown else ""
    return f"{clock} {delivery.subject.removeprefix(PREFIX + '.')} {shown['type'] or '-'} {_short(body)}{mark}"


def _short(value: object) -> str:
    """Values on one line, long texts cut."""
    if isinstance(value, dict):
        return " ".join(f"{key}={_short(item)}" for key, item in value.items())
    if isinstance(value, list) and len(value) <= 16:
        return "[" + ", ".join(_short(item) for item in value) + "]"
    text = value if isinstance(value, str) and re.fullmatch(r"[^\s=]+", value) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
