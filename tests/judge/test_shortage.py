"""A judge that was short of memory says so, whatever became of it, and does not go on with what it has of that time."""
from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

from common.devices import Device
from common.judge import Artefact, Judge, JudgeFault
from common.judge.lane.desk import Desk
from common.judge.lane.device import Handler
from common.judge.lane.serve import Bench
from common.judge.lane.tasks import KnownTask
from common.judge.shortage import shortage
from common.messages import Judgement, Outcome, TaskSource
from tests.judge.sources import EAGER, TASK, candidate

pytestmark = pytest.mark.asyncio(loop_scope="module")

FULL = "torch.OutOfMemoryError('CUDA out of memory')"
UNTOLD = "RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED')"


def variant(before: str) -> TaskSource:
    """A small task that does this first in its forward."""
    source = TASK.replace("rows = 512", "rows = 24").replace("features = 768", "features = 40")
    result = "        return torch.relu"
    return TaskSource(name="v", source=source.replace(result, f"{before}\n{result}"))


def counted(folder: Path) -> TaskSource:
    """Notes each of its runs in fp64 in a file, and is short of memory there as long as there is another."""
    return variant(f"""
        if x.dtype is torch.float64:
            open({str(folder / "runs")!r}, "a").write(".")
            import os
            if os.path.exists({str(folder / "full")!r}):
                raise {FULL}""")


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text())


async def judged(judge: Judge, task: TaskSource, device: Device, source: str = EAGER) -> Judgement:
    artefact = await judge.compile(task, source)
    assert isinstance(artefact, Artefact)
    return await judge.validate(task, artefact, device)


async def test_a_candidate_without_memory_and_none_after_it(judge: Judge, small: TaskSource, device: Device) -> None:
    found = await judged(judge, small, device, candidate("raise MemoryError"))
    assert (found.outcome, found.short_of_memory) == (Outcome.OUT_OF_MEMORY, True)
    found = await judged(judge, small, device, candidate("raise ValueError"))
    assert (found.outcome, found.short_of_memory) == (Outcome.RUNTIME_ERROR, False)
    assert not (await judged(judge, small, device)).short_of_memory


@pytest.mark.parametrize("error", [FULL, UNTOLD, "MemoryError"])
async def test_a_task_that_is_rejected_for_want_of_memory(judge: Judge, device: Device, error: str) -> None:
    found = await judged(judge, variant(f"        raise {error}"), device)
    assert (found.outcome, found.short_of_memory) == (Outcome.REJECTED_TASK, True)


async def test_inputs_for_which_there_is_no_memory(judge: Judge, small: TaskSource, device: Device) -> None:
    source = small.source.replace("return [torch.randn(rows, features)]", f"raise {FULL}")
    found = await judged(judge, TaskSource(name="v", source=source), device)
    assert (found.outcome, found.short_of_memory) == (Outcome.REJECTED_TASK, True)


@pytest.mark.parametrize("error", [FULL, UNTOLD])
async def test_a_fault_for_want_of_memory(judge: Judge, device: Device, error: str) -> None:
    """The check calls a model twice, where nobody expects the task to fail."""
    task = variant(f"""
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls > 1:
            raise {error}""")
    with pytest.raises(JudgeFault, match="too little memory") as caught:
        await judged(judge, task, device)
    assert caught.value.short_of_memory


async def test_a_task_that_is_judged_by_without_fp64(judge: Judge, device: Device, tmp_path: Path) -> None:
    """The next request has it, and the one after that computes nothing."""
    (tmp_path / "full").touch()
    found = await judged(judge, counted(tmp_path), device)
    assert (found.outcome, found.short_of_memory) == (Outcome.PASSED, True)
    (tmp_path / "full").unlink()
    tried = runs(tmp_path)
    assert not (await judged(judge, counted(tmp_path), device)).short_of_memory
    computed = runs(tmp_path)
    assert computed > tried
    assert not (await judged(judge, counted(tmp_path), device)).short_of_memory
    assert runs(tmp_path) == computed


async def test_references_of_a_short_request_are_not_kept(small: TaskSource, device: Device) -> None:
    handler = Handler()
    handler._desk = Desk(cast(Bench, None))
    known = handler._desk.task(small, device)
    shortage.begin()
    assert all(expected.usable for expected in known.usable())
    handler.tidy()
    assert known.kept
    shortage.of_another()
    handler.tidy()
    assert known.kept, "they lack nothing"
    shortage.of_ours()
    handler.tidy()
    assert not known.kept


async def test_a_task_that_was_checked_without_fp64_is_checked_again(tmp_path: Path) -> None:
    (tmp_path / "full").touch()
    shortage.begin()
    known = KnownTask(counted(tmp_path), torch.device("cpu"))
    known.check()
    assert shortage.own
    tried = runs(tmp_path)
    (tmp_path / "full").unlink()
    shortage.begin()
    known.check()
    checked = runs(tmp_path)
    assert checked > tried and not shortage.own
    known.check()
    assert runs(tmp_path) == checked
