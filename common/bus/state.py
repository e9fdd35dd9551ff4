"""The state directory of a server: its lock, its port, its token and its configuration file."""
from __future__ import annotations

import fcntl
import os
import random
import secrets
import socket
import time
from pathlib import Path

import msgspec

from common.bus.discovery import find, write_private
from common.bus.errors import ServerFailed, StateInUse, Unreachable
from common.bus.settings import BusSettings
from common.bus.streams import store_bytes

_IDENTITY, _LOCK, _CONFIG, LOG = "identity.json", "lock", "nats.conf", "nats.log"
_LOCK_SECONDS = 1.0
"""How long a server of the same state that is just ending is waited for."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a state keeps over restarts, so that clients find the same address and token again."""

    port: int
    token: str


def open_state(state_dir: str) -> tuple[Path, int]:
    """Create and lock the directory; its absolute path and the lock's file descriptor, which the server inherits.

    StateInUse where another server has it, ServerFailed where it cannot be written.
    """
    path = Path(state_dir).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / _LOCK).write_bytes(b"lock")
        descriptor = os.open(path / _LOCK, os.O_RDWR)
    except OSError as error:
        raise ServerFailed(
            f"cannot write the state directory {path}: {error.strerror}; name another with SPECGEN_BUS_STATE_DIR"
        ) from None
    end = time.monotonic() + _LOCK_SECONDS
    while not _locked(descriptor):
        if time.monotonic() > end:
            os.close(descriptor)
            raise StateInUse(
                f"{path} is in use by another server{_who(path)}: stop it, or name another directory with "
                "SPECGEN_BUS_STATE_DIR"
            )
        time.sleep(0.05)
    return path, descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _who(path: Path) -> str:
    try:
        found = find(path)
    except Unreachable:
        return ""
    return f" (pid {found.pid})" if found else ""


def identity(path: Path, host: str) -> Identity:
    """The state's port and token, made the first time."""
    file = path / _IDENTITY
    try:
        return msgspec.json.decode(file.read_bytes(), type=Identity)
    except FileNotFoundError:
        made = Identity(port=free_port(host), token=secrets.token_hex(24))
    except (OSError, msgspec.MsgspecError) as error:
        raise ServerFailed(f"cannot read {file}: {error}; remove it to get a new port and token") from None
    write_private(file, msgspec.json.encode(made))
    return made


def free_port(host: str) -> int:
    """A free port below the range that outgoing connections use: a client that retries an address of that range can
    end up connected to itself, and then the port is taken when the server comes back."""
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = list(range(10_000, max(first_outgoing, 10_001)))
    for port in random.sample(candidates, min(200, len(candidates))):
        if port_is_free(host, port):
            return port
    raise ServerFailed(f"found no free port on {host} between 10000 and {first_outgoing}")


def port_is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def write_config(path: Path, settings: BusSettings, identity: Identity) -> Path:
    """The server's configuration; it holds the token, so only the owner may read it."""
    lines = [
        'server_name: "specgen"',
        f'listen: "{settings.host}:{identity.port}"',
        f"max_payload: {settings.max_payload}",
        f"max_pending: {max(64 * 2**20, 2 * settings.max_payload)}",
        f'log_file: "{path / LOG}"',
        "logfile_size_limit: 16MB",
        "logfile_max_num: 2",
        "jetstream {",
        f'  store_dir: "{path}"',
        f"  max_file_store: {store_bytes(settings, 'file')}",
        f"  max_memory_store: {store_bytes(settings, 'memory')}",
        "}",
        f'authorization {{ token: "{identity.token}" }}',
    ]
    file = path / _CONFIG
    write_private(file, "\n".join([*lines, ""]).encode())
    return file
