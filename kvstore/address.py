"""How an engine finds pools: files in its folder of sockets.

`NAME.sock` is a pool of this host, served there. `NAME.addr` is one of another host: a line `HOST:PORT TOKEN` that an
operator wrote.
"""
from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from common.errors import SpecgenError


class BadAddress(SpecgenError):
    """What should say where a pool is does not."""


class Address(msgspec.Struct, frozen=True):
    host: str
    port: int
    token: str = ""

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def __repr__(self) -> str:
        return f"{self.host}:{self.port}"


def pools(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*.sock")
    yield from folder.glob("*.addr")


def read_address(path: Path) -> Address:
    """BadAddress where the file holds no address and token."""
    try:
        words = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise BadAddress(f"cannot read {path}: {error}") from None
    if len(words) != 2:
        raise BadAddress(f"{path} holds {len(words)} words: write HOST:PORT TOKEN")
    where = parse(words[0])
    return Address(where.host, where.port, words[1])


def parse(text: str) -> Address:
    """`HOST:PORT`; BadAddress for anything else."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) < 65_536:
        raise BadAddress(f"{text!r} is no address: write HOST:PORT")
    return Address(host.strip("[]"), int(port))
