"""`specgen tap`: history and live in one feed, nothing twice, whatever the bytes are."""
from __future__ import annotations

import asyncio
import io
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

from common.bus import Bus, Server
from common.bus.tap import within
from common.cli import main
from common.commands import tap as command
from common.errors import UsageError
from tests.bus.messages import eventually, fact, job, kill, token
from tests.bus.test_read import raw


class Tap:
    """A tap running in the background, and what it has shown."""

    def __init__(self, bus: Bus, pattern: str, since: datetime | None) -> None:
        self._out = io.StringIO()
        self._task = asyncio.create_task(command.tap(bus, command.checked_pattern(pattern), since, True, self._out))

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.getvalue().splitlines()]

    async def expect(self, count: int) -> list[dict[str, Any]]:
        await eventually(lambda: self._task.done() or len(self.rows()) >= count)
        return self.rows()

    async def __aenter__(self) -> Tap:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


async def test_history_then_live_without_a_gap_or_a_repeat(bus: Bus, nats_server: Server) -> None:
    for n in range(5):
        await bus.record(fact("tapped", n))
    async with Tap(bus, "evt.tapped.>", hour_ago()) as tap:
        for n in range(5, 40):
            await bus.record(fact("tapped", n))
        rows = await tap.expect(40)
        former = nats_server.restarts
        kill(nats_server)
        await eventually(lambda: nats_server.restarts > former)
        await bus.record(fact("tapped", 40))
        rows = await tap.expect(41)
    assert [row["message"]["n"] for row in rows] == list(range(41))
    assert {row["type"] for row in rows} == {"RunEnded"}


async def test_everything_shows_jobs_tokens_tables_and_strangers(bus: Bus, nats_server: Server) -> None:
    await bus.record(job("all", "c1"))
    async with Tap(bus, ">", hour_ago()) as tap:
        await eventually(lambda: any(".all." in row["subject"] for row in tap.rows()))
        await raw(nats_server, "specgen.v1.kv.gpu.announce", msgpack.packb({"blocks": [1, 2]}))
        await raw(nats_server, "specgen.v1.kv.gpu.noise", b"\xc1\xff")
        await bus.emit(token("all", 0))
        await bus.record(job("all", "c2"))
        await eventually(lambda: sum(".all." in row["subject"] or ".kv." in row["subject"] for row in tap.rows()) == 5)
        rows = {row["subject"].removeprefix("specgen.v1."): row for row in tap.rows()}
    assert rows["kv.gpu.announce"]["message"] == {"blocks": [1, 2]}
    assert "error" in rows["kv.gpu.noise"] and rows["kv.gpu.noise"]["bytes"] == "wf8="
    assert rows["tok.all.1.main"]["type"] == "TokenDelta"
    assert not any("bell" in subject for subject in rows)
    assert len([subject for subject in rows if subject.startswith("job.")]) == 2


async def test_a_message_that_breaks_its_class_is_shown_with_what_is_wrong(bus: Bus, nats_server: Server) -> None:
    await raw(nats_server, "specgen.v1.evt.broken.run.ended", msgpack.packb({"run": "broken"}))
    dead = await bus.subjects("specgen.v1.dead.>")
    async with Tap(bus, "evt.broken.>", hour_ago()) as tap:
        (row,) = await tap.expect(1)
    assert row["message"] == {"run": "broken"} and "missing required field" in row["error"]
    assert await bus.subjects("specgen.v1.dead.>") == dead, "looking must not make dead letters"


async def test_without_history_only_what_comes(bus: Bus) -> None:
    await bus.record(fact("fresh", 1))
    async with Tap(bus, "evt.fresh.>", None) as tap:
        await asyncio.sleep(0.2)
        await bus.record(fact("fresh", 2))
        rows = await tap.expect(1)
    assert [row["message"]["n"] for row in rows] == [2]


async def test_tables_can_be_tapped(bus: Bus) -> None:
    async with Tap(bus, "$KV.SG_STATE.>", None) as tap:
        await asyncio.sleep(0.2)
        await bus.table("SG_STATE").put("tapped", msgpack.packb({"epoch": 1}))
        (row,) = await tap.expect(1)
    assert (row["subject"], row["message"]) == ("$KV.SG_STATE.tapped", {"epoch": 1})


def test_text_form_is_one_short_line() -> None:
    from common.bus import Delivery  # noqa: PLC0415
    from common.messages import encode  # noqa: PLC0415

    long = job("r", "c", source="line\n" * 1000)
    line = command.text_line(Delivery(long.subject(), long, 7, time.time(), True, encode(long)))
    assert "\n" not in line and len(line) < 600
    assert "job.validate.p0.r.1.c Job stage=validate" in line and "(6002 characters)" in line


@pytest.mark.parametrize(
    ("pattern", "root", "part"),
    [
        ("specgen.v1.>", "specgen.v1.evt", "specgen.v1.evt.>"),
        ("specgen.v1.*.r1.>", "specgen.v1.evt", "specgen.v1.evt.r1.>"),
        ("specgen.v1.evt.r1.run.*", "specgen.v1.evt", "specgen.v1.evt.r1.run.*"),
        ("specgen.v1.tok.>", "specgen.v1.evt", None),
        ("specgen.v1.evt", "specgen.v1.evt", None),
        ("specgen.v1", "specgen.v1.evt", None),
        (">", "specgen.v1.evt", "specgen.v1.evt.>"),
    ],
)
def test_part_of_a_pattern_under_a_root(pattern: str, root: str, part: str | None) -> None:
    assert within(pattern, root) == part


@pytest.mark.parametrize("bad", ["", "a..b", "a b", ">.a", "a>", "a.b*", ".a", "a."])
def test_bad_pattern_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="is no pattern"):
        command.checked_pattern(bad)


def test_since() -> None:
    assert command.parse_since(None, 1000) is None
    assert command.parse_since("1.5m", 1000) == datetime.fromtimestamp(910, UTC)
    for bad in ("10", "m", "ten minutes", "-5m", "5w"):
        with pytest.raises(UsageError, match="is no time"):
            command.parse_since(bad, 1000)


@pytest.mark.parametrize("argv", [["tap", "a..b"], ["tap", "--since", "soon"], ["tap", "--nonsense"], ["dead"]])
def test_bad_input_is_one_line_and_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if not installed():
        pytest.skip("the package's entry points are not installed")
    assert main(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1


def installed() -> bool:
    from importlib.metadata import entry_points  # noqa: PLC0415

    return "tap" in {entry.name for entry in entry_points(group="specgen.commands")}
