"""Services are restarted when they die, not when they cannot start, and all end with whoever started them."""
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from common.supervise import Service, Supervisor
from common.supervise.supervisor import ServiceFailed
from tests.pipeline.system import alive, descendants

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


async def until(condition, seconds: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_killed_service_is_started_again(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        supervisor.add(Service("one", SLEEPER))
        await until(lambda: "one" in supervisor.processes)
        first = supervisor.processes["one"].pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervisor.processes["one"].pid != first)
        second = supervisor.processes["one"].pid
    assert alive([first, second]) == []


async def test_a_service_that_cannot_start_ends_the_wait_with_its_own_words(tmp_path: Path) -> None:
    complaint = "import sys; print('specgen x: set SPECGEN_X', file=sys.stderr); sys.exit(2)"
    async with Supervisor(tmp_path) as supervisor:
        supervisor.add(Service("one", (sys.executable, "-c", complaint)))
        assert supervisor.failure is not None
        with pytest.raises(ServiceFailed, match="set SPECGEN_X"):
            await asyncio.wait_for(asyncio.shield(supervisor.failure), 20)


async def test_a_service_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); time.sleep(600)"
    )
    async with Supervisor(tmp_path, grace=0.5) as supervisor:
        supervisor.add(Service("one", (sys.executable, "-c", stubborn)))
        await until(lambda: "one" in supervisor.processes and descendants(supervisor.processes["one"].pid))
        pid = supervisor.processes["one"].pid
        started = [*descendants(pid), pid]
    await until(lambda: alive(started) == [])


async def test_a_service_runs_on_its_cores(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    show = "import os; print(sorted(os.sched_getaffinity(0)), flush=True); import time; time.sleep(600)"
    async with Supervisor(tmp_path) as supervisor:
        supervisor.add(Service("one", (sys.executable, "-c", show), cores=(core,)))
        await until(lambda: supervisor.log_of("one").exists() and supervisor.log_of("one").read_text().strip() != "")
        assert supervisor.log_of("one").read_text().strip() == f"[{core}]"


def test_services_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import asyncio, pathlib, sys
        from common.supervise import Service, Supervisor
        async def main():
            async with Supervisor(pathlib.Path({str(tmp_path)!r})) as supervisor:
                supervisor.add(Service("one", {SLEEPER!r}))
                await asyncio.sleep(0.5)
                print(supervisor.processes["one"].pid, flush=True)
                await asyncio.sleep(600)
        asyncio.run(main())
    """)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive([child]) == [child]
    parent.kill()
    parent.wait()
    end = time.monotonic() + 10
    while alive([child]) and time.monotonic() < end:
        time.sleep(0.02)
    assert alive([child]) == []
