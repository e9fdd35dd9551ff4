"""The judge's own processes die: the attempt fails, nobody is blamed, the next one works, nothing is left behind."""
from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from common.devices import Device
from common.judge import Artefact, Judge, JudgeFault, JudgeSettings
from common.judge.sandbox import cgroup
from common.messages import Outcome, TaskSource
from tests.judge.sources import EAGER, candidate
from tests.judge.traces import command, descendants, traces

SLEEPS = Artefact(source=candidate("import time; time.sleep(60)"))
RIGHT = Artefact(source=EAGER)


def lane() -> int:
    return next(pid for pid in descendants(os.getpid()) if "common.judge.lane.device" in command(pid))


def zygote() -> int:
    """Python inside of bubblewrap, not the two processes of bwrap itself."""
    found = (pid for pid in descendants(os.getpid()) if "zygote" in command(pid))
    return next(pid for pid in found if "python" in command(pid).split()[0])


def bubblewrap() -> int:
    return next(pid for pid in descendants(os.getpid()) if command(pid).split()[0].endswith("bwrap"))


async def test_killed_processes_are_no_ones_verdict(
    judge_settings: JudgeSettings, small: TaskSource, device: Device
) -> None:
    before = traces()
    async with Judge(judge_settings, "cpu") as judge:
        for victim in (lane, zygote, bubblewrap):
            await passes(judge, small, device)
            await fails_when_killed(judge, small, device, victim)
        await passes(judge, small, device)
        os.kill(zygote(), signal.SIGKILL)
        await asyncio.sleep(0.5)
        with pytest.raises(JudgeFault):
            await judge.validate(small, RIGHT, device)
        await passes(judge, small, device)
        closing = asyncio.create_task(judge.validate(small, SLEEPS, device))
        await asyncio.sleep(0.5)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    assert traces() == before


async def passes(judge: Judge, task: TaskSource, device: Device) -> None:
    verdict = await judge.validate(task, RIGHT, device)
    assert verdict.outcome is Outcome.PASSED, verdict


async def fails_when_killed(judge: Judge, task: TaskSource, device: Device, victim: Callable[[], int]) -> None:
    call = asyncio.create_task(judge.validate(task, SLEEPS, device))
    await asyncio.sleep(1.0)
    os.kill(victim(), signal.SIGKILL)
    with pytest.raises(JudgeFault):
        await asyncio.wait_for(call, 60.0)


def test_groups_of_dead_judges_are_swept() -> None:
    base = next((base for base in cgroup.bases() if base), None)
    if base is None:
        pytest.skip("no control group can be made here")
    gone = base / f"{cgroup.GROUP}1-{_unused_pid()}-0"
    ours = base / f"{cgroup.GROUP}1-{os.getpid()}-0"
    for folder in (gone, ours):
        folder.mkdir()
    cgroup.sweep()
    assert (gone.exists(), ours.exists()) == (False, True)
    ours.rmdir()


def _unused_pid() -> int:
    return next(pid for pid in range(4_000_000, 1, -1) if not Path(f"/proc/{pid}").exists())
