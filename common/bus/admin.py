"""Creating streams and buckets; what waits in them; purging."""
from __future__ import annotations

import asyncio
from typing import Any

from common.bus.connection import ApiError, Connection
from common.bus.errors import Unreachable
from common.bus.settings import BusSettings
from common.bus.streams import all_configs, stream_of

NO_STREAM = 10059
_NO_ROOM = 10047
_NAME_IN_USE = 10058
_LOOKS = 20
_LOOK_SECONDS = 0.25


async def ensure_streams(
    connection: Connection, settings: BusSettings, *, update: bool = False
) -> dict[str, dict[str, Any]]:
    """Create what is missing; the configurations in force, by stream name. Safe to repeat, and from several clients.

    What exists keeps its limits unless `update`: those are for whoever runs the server, not for its last client.
    """
    return {config["name"]: await _ensure(connection, config, update) for config in all_configs(settings)}


async def _ensure(connection: Connection, config: dict[str, Any], update: bool) -> dict[str, Any]:
    """Looks before it creates: a restarted server reserves a stream's room a second time when asked to create it."""
    name = config["name"]
    try:
        there = await _config(connection, name) or await _create(connection, config)
        if update and any(there.get(key) != value for key, value in config.items()):
            there = (await connection.call(f"STREAM.UPDATE.{name}", config))["config"]
    except ApiError as error:
        raise Unreachable(
            f"stream {name}: {error}; give the server more room (its max_file_store), lower SPECGEN_BUS_STREAM_MIB, "
            "or use another state directory"
        ) from None
    return there


async def _create(connection: Connection, config: dict[str, Any]) -> dict[str, Any]:
    """The stream as it is once it is there, perhaps with the limits of another client that was faster.

    While several clients create a stream at once the server reserves its room for each of them, so "no room" may only
    mean that another is about to have it made.
    """
    for look in range(_LOOKS):
        try:
            made: dict[str, Any] = (await connection.call(f"STREAM.CREATE.{config['name']}", config))["config"]
            return made
        except ApiError as error:
            if error.code not in (_NO_ROOM, _NAME_IN_USE) or look == _LOOKS - 1:
                raise
        await asyncio.sleep(_LOOK_SECONDS)
        if there := await _config(connection, config["name"]):
            return there
    raise AssertionError("the last look returns or raises")


async def _config(connection: Connection, name: str) -> dict[str, Any] | None:
    try:
        config: dict[str, Any] = (await connection.call(f"STREAM.INFO.{name}"))["config"]
    except ApiError as error:
        if error.code == NO_STREAM:
            return None
        raise
    return config


async def purge(connection: Connection, pattern: str) -> int:
    """Remove what waits under a pattern; how many messages went."""
    answer = await connection.call(f"STREAM.PURGE.{stream_of(pattern).name}", {"filter": pattern})
    return int(answer["purged"])


async def subjects(connection: Connection, pattern: str) -> dict[str, int]:
    """Messages by subject under a pattern."""
    return await stream_subjects(connection, stream_of(pattern).name, pattern)


async def stream_subjects(connection: Connection, stream: str, pattern: str) -> dict[str, int]:
    """Messages by subject under a pattern of one stream, gathered over the server's pages of 100,000 subjects."""
    found: dict[str, int] = {}
    while True:
        answer = await connection.call(f"STREAM.INFO.{stream}", {"subjects_filter": pattern, "offset": len(found)})
        page = answer["state"].get("subjects") or {}
        found |= page
        if not page or len(found) >= answer.get("total", 0):
            return found


async def identity(connection: Connection, stream: str) -> tuple[str, int]:
    """When the stream was created (a memory stream is new after a restart) and its last sequence.

    One try: Transient or ApiError where it fails.
    """
    answer = await connection.api(f"STREAM.INFO.{stream}")
    return answer["created"], int(answer["state"]["last_seq"])
