"""The proxy between the generator and vLLM: adds to a generation's request the words it is to say, and nothing else.

A request is a generation of a run where it has a priority: probes have none and pass as they are, like every other
route. `salt` keeps the prefix cache of one part of a benchmark from another's.
"""
from __future__ import annotations

import json
from typing import Any

import msgspec
from aiohttp import web

from bench.engine.client import forcing
from bench.replayed.player import Player
from generator.replay.passing import Passing
from generator.replay.script import Refusal


class ForcingProxy(Passing):
    def __init__(self, upstream: str, player: Player, salt: str) -> None:
        super().__init__(upstream)
        self._player, self._salt = player, salt
        self.refused: list[str] = []
        """Why, of each request that no recording answers."""

    async def sent(self, request: web.Request, data: bytes) -> bytes:
        """HTTP 400 with the reason where the recordings have no words for a generation."""
        if request.path != "/v1/completions":
            return data
        body: dict[str, Any] = msgspec.json.decode(data)
        if "priority" not in body:
            return data
        try:
            words = await self._player.words(tuple(body["prompt"]), body["priority"])
        except Refusal as refusal:
            self.refused.append(str(refusal))
            text = json.dumps({"error": {"message": str(refusal), "code": 400}})
            raise web.HTTPBadRequest(text=text, content_type="application/json") from None
        return msgspec.json.encode(body | {"vllm_xargs": forcing(words), "cache_salt": self._salt})
