"""The whole judge over every kept kernel: honest ones pass, wrong and cheating ones are told for what they are."""
from __future__ import annotations

import pytest
import torch

from common.devices import Device
from common.judge import Judge
from common.messages import Judgement, TaskSource
from tests.kernels.corpus import Kernel, kernels, task_source, unfit_tasks

pytestmark = pytest.mark.asyncio(loop_scope="module")

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def each(group: str, device: str) -> pytest.MarkDecorator:
    """By task, so that a judge that keeps few references computes each once. Those whose speed counts run alone."""
    chosen = sorted(kernels(group, device), key=lambda kernel: (kernel.stage, kernel.task, kernel.precision))  # type: ignore[arg-type]
    return pytest.mark.parametrize("kernel", [
        pytest.param(kernel, id=kernel.name, marks=[pytest.mark.alone] * (kernel.max_speedup is not None))
        for kernel in chosen
    ])


async def judged(judge: Judge, kernel: Kernel, device: Device) -> Judgement:
    """The verdict that decides: of compiling, of validation, and of profiling where the kernel asks for it."""
    task = TaskSource(name=kernel.task, source=task_source(kernel.task), precision=kernel.precision)
    artefact = await judge.compile(task, kernel.source)
    if isinstance(artefact, Judgement):
        return artefact
    verdict = await judge.validate(task, artefact, device)
    if kernel.stage == "validate" or verdict.outcome != "passed":
        return verdict
    return await judge.profile(task, artefact, device)


async def check(judge: Judge, kernel: Kernel, device: Device) -> None:
    judgement = await judged(judge, kernel, device)
    feedback = judgement.feedback
    told = f"{feedback.summary}\n{feedback.message}\n{feedback.cause}"
    assert judgement.outcome in kernel.outcomes, f"{judgement.outcome}: {told}"
    assert kernel.says in told
    if judgement.outcome == "passed":
        assert set(kernel.labels) <= set(judgement.labels)
    if kernel.max_speedup is not None and judgement.measurement is not None:
        assert judgement.measurement.speedup <= kernel.max_speedup


@each("honest", "cpu")
async def test_honest(cpu_judge: Judge, kernel: Kernel, cpu_device: Device) -> None:
    await check(cpu_judge, kernel, cpu_device)


@each("wrong", "cpu")
async def test_wrong(cpu_judge: Judge, kernel: Kernel, cpu_device: Device) -> None:
    await check(cpu_judge, kernel, cpu_device)


@each("cheats", "cpu")
async def test_cheat(cpu_judge: Judge, kernel: Kernel, cpu_device: Device) -> None:
    await check(cpu_judge, kernel, cpu_device)


@pytest.mark.parametrize("name", sorted(unfit_tasks()))
async def test_unfit_task(cpu_judge: Judge, name: str, cpu_device: Device) -> None:
    source, words = unfit_tasks()[name]
    task = TaskSource(name=name, source=source)
    artefact = await cpu_judge.compile(task, "import torch\n\n\nclass ModelNew(torch.nn.Module):\n    pass\n")
    judgement = artefact if isinstance(artefact, Judgement) else await cpu_judge.validate(task, artefact, cpu_device)
    assert judgement.outcome == "rejected_task"
    assert words in judgement.feedback.summary


@each("honest", "cuda")
async def test_honest_gpu(cuda_judge: Judge, kernel: Kernel, cuda_device: Device) -> None:
    await check(cuda_judge, kernel, cuda_device)


@each("wrong", "cuda")
async def test_wrong_gpu(cuda_judge: Judge, kernel: Kernel, cuda_device: Device) -> None:
    await check(cuda_judge, kernel, cuda_device)


@each("cheats", "cuda")
async def test_cheat_gpu(cuda_judge: Judge, kernel: Kernel, cuda_device: Device) -> None:
    await check(cuda_judge, kernel, cuda_device)


for _each in (test_honest_gpu, test_wrong_gpu, test_cheat_gpu):
    _each.pytestmark = [*GPU, *_each.pytestmark]  # type: ignore[attr-defined]
