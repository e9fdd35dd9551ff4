"""Where a server announces itself: `server.json` in its state directory, readable by its owner alone."""
from __future__ import annotations

import os
from pathlib import Path

import msgspec

from common.bus.errors import Unreachable
from common.bus.settings import BusSettings

FILE = "server.json"


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a running server."""

    url: str
    token: str
    pid: int

    def __repr__(self) -> str:
        return f"Announcement(url={self.url!r}, pid={self.pid})"


def announce(state_dir: Path, announcement: Announcement) -> None:
    write_private(state_dir / FILE, msgspec.json.encode(announcement))


def withdraw(state_dir: Path) -> None:
    (state_dir / FILE).unlink(missing_ok=True)


def find(state_dir: Path) -> Announcement | None:
    """The announcement in a state directory, or None; Unreachable where it cannot be read."""
    path = state_dir / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Announcement)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise Unreachable(f"cannot read {path}: {error}; remove it and start the server again") from None


def find_server(settings: BusSettings) -> tuple[str, str | None]:
    """Address and token: the settings' own, else the ones announced under `state_dir`. A token belongs to its address:
    one set without an address is for another server."""
    if settings.url:
        return settings.url, settings.token
    found = find(Path(settings.state_dir))
    if found is None:
        raise Unreachable(
            f"no server is announced in {settings.state_dir}: start one with `specgen up`, "
            "or name one with SPECGEN_BUS_URL and SPECGEN_BUS_TOKEN"
        )
    return found.url, found.token


def write_private(path: Path, data: bytes) -> None:
    """Replace a file in one step; only its owner may read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
