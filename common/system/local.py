"""Starting a planned system and ending it."""
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from common.bus import BusSettings, start_server
from common.pinned import pinned
from common.supervise import Supervisor
from common.system.plan import Plan


@dataclass(frozen=True)
class LocalSystem:
    plan: Plan
    bus: BusSettings
    supervisor: Supervisor


@asynccontextmanager
async def local_system(plan: Plan) -> AsyncIterator[LocalSystem]:
    """Start the server and every service; leaving the block ends all of them, services first.

    Meanwhile this process keeps to the shared cores, as do the server and what else is started within the block.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    plan.write_config()
    with pinned(plan.shared_cores()):
        supervising = Supervisor(plan.folder / "logs", grace=plan.grace())
        async with await start_server(plan.bus) as server, supervising as supervisor:
            for service in plan.services():
                supervisor.add(service)
            yield LocalSystem(plan, server.settings, supervisor)
