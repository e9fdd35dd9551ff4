"""A small recording, and a replay endpoint in this process to play it."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from generator.replay.engine import Engine
from generator.replay.listen import listen
from generator.replay.recording import Iteration, Recording
from generator.replay.server import Dialect, Server

TASK = "class Model:\n    def forward(self, x):\n        return x\n"
DRAFT = "class ModelNew:\n    pass  # draft\n"
REASONING = f"First I think.\nThen a draft:\n```python\n{DRAFT}```\nIt could be better, ünd so weiter.\n"
DEPTH = REASONING.index("It could")
FAST = "class ModelNew:\n    pass  # fork\n"
ANSWER = "Here it is:\n```python\nclass ModelNew:\n    pass  # answer\n```\n"


def recording(*, forks: bool = True, rate: float = 5000) -> Recording:
    first = Iteration(reasoning=REASONING, answer=ANSWER, forks=((DEPTH + 9, FAST + "```\n"),) if forks else ())
    second = Iteration(reasoning="Again.\n" * 40, answer=ANSWER, expects_any=("passed", "compile_error"))
    return Recording(model="m", rate=rate, fence="python", task=TASK, iterations=(first, second))


def question(iteration: int = 1, results: str = "") -> str:
    return f"Iteration {iteration} of 3\n\n## Task\n```python\n{TASK}```\n{results}\nMake it faster.\n"


@asynccontextmanager
async def replaying(played: Recording | None = None, **dialect: object) -> AsyncIterator[str]:
    """Its URL."""
    shown = played or recording()
    server = Server(shown, Engine(shown.rate), Dialect(**dialect))  # type: ignore[arg-type]
    runner, url = await listen(server.app())
    try:
        yield url
    finally:
        await runner.cleanup()


async def get(url: str) -> dict[str, int]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        stats: dict[str, int] = await response.json()
        return stats


async def until_aborted(url: str) -> dict[str, int]:
    async with asyncio.timeout(10):
        while True:
            stats = await get(url + "/stats")
            if stats["aborted"]:
                return stats
            await asyncio.sleep(0.02)
