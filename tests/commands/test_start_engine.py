"""An engine's address is that of the engine which was started, not of a former one in the same folder."""
from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import msgspec

from common.commands.engine import Ready, start_engine
from common.supervise import Service


class Starts:
    """Stands for the supervisor: an engine that answers at once."""

    def __init__(self, ready_file: Path, ready: Ready) -> None:
        self.failure = asyncio.get_running_loop().create_future()
        self.found_former = False
        self._file = ready_file
        self._ready = ready

    def add(self, service: Service) -> None:
        self.found_former = self._file.exists()
        self._file.write_bytes(msgspec.json.encode(self._ready))


async def test_a_former_engines_address_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    file.write_bytes(msgspec.json.encode(Ready(url="http://former", model="m")))
    supervisor: Any = Starts(file, Ready(url="http://new", model="m"))
    ready = await start_engine(supervisor, argparse.Namespace(model="m", engine_arg=[]), tmp_path)
    assert ready.url == "http://new" and not supervisor.found_former
