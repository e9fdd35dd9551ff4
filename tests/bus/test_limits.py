"""Limits of streams that are there already: no client changes them unless it is told to."""
from __future__ import annotations

import msgspec
import pytest

from common.bus import Bus, Server, Unreachable
from common.commands.limits import apply


async def test_limits_are_changed_by_the_command_and_by_no_mere_client(
    small_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = msgspec.structs.replace(small_server.settings, stream_mib={"job": 1, "tok": 1, "dead": 7}, keep_days=2.5)
    async with await Bus.connect("operator", settings) as bus:
        before = await bus._connection.call("STREAM.INFO.SG_DEAD")
        assert before["config"]["max_bytes"] == 256 * 2**20
        assert await apply(bus) == 0
        after = await bus._connection.call("STREAM.INFO.SG_DEAD")
        assert after["config"]["max_bytes"] == 7 * 2**20
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["SG_DEAD", "7", "MiB", "2.5", "days"] for line in lines)


async def test_more_than_the_server_may_keep_is_refused_with_the_cure(small_server: Server) -> None:
    settings = msgspec.structs.replace(small_server.settings, stream_mib={"job": 1, "tok": 1, "evt": 2**20})
    async with await Bus.connect("operator", settings) as bus:
        with pytest.raises(Unreachable, match=r"SG_EVT: .*max_file_store"):
            await apply(bus)
