"""A server, the scheduler and light workers, as processes of their own."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from common.bus import Bus, BusSettings, Listener, Server, start_server
from common.messages import PREFIX, Stage, WorkerBeat
from common.supervise import Service, Supervisor, python_service

READY_SECONDS = 60.0


@dataclass(frozen=True)
class LightSystem:
    bus: Bus
    server: Server
    supervisor: Supervisor
    folder: Path

    def pid(self, service: str) -> int:
        return self.supervisor.processes[service].pid


def worker(
    stage: Stage, devices: Sequence[str], *, name: str, env: Mapping[str, str], workers: int = 1, only: bool = False,
    broken: Path | None = None,
) -> Service:
    arguments = [str(stage), "--devices", ",".join(devices), "--workers", str(workers)]
    arguments += ["--only"] if only else []
    arguments += ["--broken", str(broken)] if broken else []
    return python_service("bench.light.worker", *arguments, name=name, env=env)


def pool(
    devices: Sequence[str], env: Mapping[str, str], *, workers: int | None = None, broken: Path | None = None
) -> list[Service]:
    """For devices that serve either stage: a process a stage, with as many workers as there are devices or as said."""
    return [
        worker(stage, devices, name=f"{stage}-workers", env=env, workers=workers or len(devices), broken=broken)
        for stage in Stage
    ]


@asynccontextmanager
async def light_system(
    folder: Path, services: Sequence[Service] = (), *, env: Mapping[str, str] | None = None, scheduler: bool = True,
    bus: BusSettings | None = None, ready: int = 0, ready_seconds: float = READY_SECONDS,
) -> AsyncIterator[LightSystem]:
    """Running until the block ends; it begins once `ready` workers were heard. Every service gets `env` besides."""
    settings = bus or BusSettings(state_dir=str(folder / "state"), lease_seconds=3.0)
    shared = {"SPECGEN_BUS_STATE_DIR": settings.state_dir, **(env or {})}
    mine = [python_service("scheduler")] if scheduler else []
    async with (
        await start_server(settings) as server,
        Supervisor(folder / "logs") as supervisor,
        await Bus.connect("light", server.settings) as connected,
    ):
        async with connected.listen(f"{PREFIX}.ops.*.worker.beat") as beats:
            for service in (*mine, *services):
                supervisor.add(Service(service.name, service.command, {**shared, **service.env}, service.cores))
            await _heard(beats, ready, ready_seconds)
        yield LightSystem(connected, server, supervisor, folder)


async def _heard(beats: Listener, count: int, seconds: float) -> None:
    workers: set[str] = set()
    async with asyncio.timeout(seconds):
        while len(workers) < count:
            message = (await anext(beats)).message
            if isinstance(message, WorkerBeat):
                workers.add(message.worker)
