"""Other load on the cores that time: counted by the kernel, told with the result."""
from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from common.devices import Device
from common.judge import Artefact, Judge, JudgeSettings
from common.judge.lane.candidate import Candidate
from common.judge.lane.spares import Spare
from common.judge.lane.waits import GRACE_SECONDS, Waits, disturbed
from common.judge.protocol import Built
from common.messages import Outcome, TaskSource
from tests.judge.sources import EAGER, TASK

pytestmark = pytest.mark.asyncio(loop_scope="module")
_SPIN = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


@contextmanager
def busy(core: int, processes: int) -> Iterator[None]:
    """Processes that want the core all the time, for the block."""
    spinning = [subprocess.Popen([sys.executable, "-c", _SPIN, str(core)]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


async def test_two_that_want_one_core_wait_for_each_other(device: Device) -> None:
    with busy(device.cores[0], 2):
        waits = Waits(os.getpid())
        await asyncio.sleep(2.0)
        assert waits.since() > 0.3
        assert waits.since() < 0.3, "asked again at once"


async def test_one_that_has_a_core_to_itself_was_not_disturbed() -> None:
    assert not disturbed(0.0, 1e-3)
    assert not disturbed(GRACE_SECONDS, 1e-3)
    assert disturbed(1e-3, 1e-3)


async def test_where_nothing_is_counted_nothing_waits(tmp_path: Path) -> None:
    assert Waits(1, proc=tmp_path).since() == 0.0


@pytest.mark.parametrize(("beside", "waited"), [(True, 0.0), (False, 0.02)])
async def test_what_the_judge_takes_counts_only_where_it_is_in_the_way(
    tmp_path: Path, beside: bool, waited: float
) -> None:
    """A process 2 below the warden 1, whose thread waits for 20 ms while the judge works for 30."""
    for folder in ("1/task/1", "2/task/2"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "1/task/1/children").write_text("2 ")
    (tmp_path / "1/schedstat").write_text("0 0 0")
    (tmp_path / "2/task/2/schedstat").write_text("0 0 0")
    waits, until = Waits(1, beside=beside, proc=tmp_path), time.thread_time() + 0.03
    while time.thread_time() < until:
        pass
    (tmp_path / "2/task/2/schedstat").write_text("0 20000000 0")
    assert waits.since() == pytest.approx(waited)


@pytest.mark.parametrize(("cores", "apart", "beside"), [
    ((0,), True, True), ((0, 1), True, False), ((0, 1), False, True),
])
async def test_on_a_gpu_the_judge_is_in_the_way_where_there_is_one_core(
    cores: tuple[int, ...], apart: bool, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The side waits for the device without sleep while the judge copies."""
    asked: list[bool] = []
    monkeypatch.setattr("common.judge.lane.candidate.Waits", lambda warden, *, beside: asked.append(beside))
    spare = SimpleNamespace(warden=1, spec=SimpleNamespace(cores=cores))
    side = Candidate(cast(Spare, spare), JudgeSettings(), lambda extension: Built())
    side.arena = SimpleNamespace(apart=apart)
    side.waits()
    assert asked == [beside]


async def test_a_figure_from_a_busy_core_says_so(judge: Judge, device: Device) -> None:
    """With calls of many milliseconds; a short one is done before anybody else's turn comes."""
    task = TaskSource(name="long", source=TASK.replace("rows = 512", "rows = 4096"))
    artefact = await judge.compile(task, EAGER)
    assert isinstance(artefact, Artefact)
    with busy(device.cores[0], 2):
        profile = await judge.profile(task, artefact, device)
    assert profile.outcome is Outcome.PASSED and profile.measurement is not None
    assert "busy_host" in profile.labels
    assert f"({len(profile.record['disturbed'])} of {len(profile.record['pairs_ms'])} pairs" in profile.feedback.summary
    assert profile.measurement.pairs == len(profile.record["pairs_ms"]), "too few were left, so all count"
