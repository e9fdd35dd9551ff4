"""The judge's path on a GPU: right kernels, wrong ones, ones that break their context, and the clock."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
import torch

from common.devices import Device, DeviceSettings, discover
from common.errors import UsageError
from common.judge import Artefact, Judge, JudgeSettings
from common.messages import Judgement, Outcome, TaskSource
from tests.judge.sources_cuda import (
    ADD_TASK,
    AHEAD,
    AUTOTUNED,
    CUDA,
    EAGER,
    ENDLESS,
    FORESEEN,
    HUGE_RIGHT,
    HUGE_TASK,
    HUGE_WRONG,
    LARGE_TASK,
    MATMUL_TASK,
    OUT_OF_BOUNDS,
    PRODUCTS,
    SIDE_STREAM,
    TF32,
    TRITON,
    WRONG,
)

pytestmark = [pytest.mark.gpu, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def gpu() -> Device:
    try:
        return discover(DeviceSettings(kind="cuda"))[0]
    except UsageError as reason:
        pytest.skip(str(reason))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cuda_judge(judge_settings: JudgeSettings, gpu: Device) -> AsyncIterator[Judge]:
    settings = msgspec.structs.replace(judge_settings, memory_mib=16384, time_seconds=4.0, call_seconds=8.0)
    async with Judge(settings, gpu.kind) as started:
        yield started


@pytest.fixture(scope="module")
def rows() -> TaskSource:
    return TaskSource(name="rows", source=ADD_TASK)


async def verdict(judge: Judge, task: TaskSource, device: Device, source: str) -> Judgement:
    artefact = await judge.compile(task, source)
    return artefact if isinstance(artefact, Judgement) else await judge.validate(task, artefact, device)


async def timed(judge: Judge, task: TaskSource, device: Device, source: str) -> Judgement:
    artefact = await judge.compile(task, source)
    assert isinstance(artefact, Artefact), artefact.feedback
    judged = await judge.profile(task, artefact, device)
    print(judged.feedback.summary, judged.seconds, judged.record.get("path_ms", [])[:5])
    return judged


@pytest.mark.parametrize("source", [TRITON, CUDA], ids=["triton", "cuda"])
async def test_a_right_kernel_passes_and_is_timed(
    cuda_judge: Judge, rows: TaskSource, gpu: Device, source: str
) -> None:
    judged = await verdict(cuda_judge, rows, gpu, source)
    print(judged.seconds)
    assert (judged.outcome, judged.labels) == (Outcome.PASSED, ()), judged.feedback
    profile = await timed(cuda_judge, rows, gpu, source)
    assert profile.outcome is Outcome.PASSED, profile.feedback
    assert profile.measurement is not None
    assert profile.measurement.speedup > 1.0


async def test_what_triton_compiled_is_kept_for_the_next_process(
    cuda_judge: Judge, judge_settings: JudgeSettings, rows: TaskSource, gpu: Device
) -> None:
    assert (await verdict(cuda_judge, rows, gpu, TRITON)).outcome is Outcome.PASSED
    (kept,) = judge_settings.cache_folder.glob(f"triton-{Artefact(source=TRITON).digest}/*")
    assert b".cubin" in kept.read_bytes()
    profile = await timed(cuda_judge, rows, gpu, TRITON)
    print(profile.seconds, profile.record["spent"])
    assert profile.outcome is Outcome.PASSED and profile.record["own_share"] > 0.5


@pytest.mark.alone
async def test_eager_against_itself_is_neither_faster_nor_slower(
    cuda_judge: Judge, rows: TaskSource, gpu: Device
) -> None:
    profile = await timed(cuda_judge, rows, gpu, EAGER)
    assert profile.measurement is not None, profile.feedback
    assert profile.labels == ("library_only",)
    assert 0.95 < profile.measurement.speedup < 1.05
    assert profile.measurement.low < 1.02 and profile.measurement.high > 0.98


@pytest.mark.alone
@pytest.mark.parametrize("width", [2048, 2560, 3328])
async def test_half_of_the_work_takes_half_of_the_time(cuda_judge: Judge, gpu: Device, width: int) -> None:
    """Of some 25, 50 and 100 us: a window's path is not taken from what runs beside it."""
    task = TaskSource(name=f"products{width}", source=PRODUCTS.format(name="Model", width=width, times=2))
    once = PRODUCTS.format(name="ModelNew", width=width, times=1)
    measured = (await timed(cuda_judge, task, gpu, once)).measurement
    assert measured is not None
    assert 1.9 < measured.speedup < 2.1


async def test_the_devices_clocks_are_in_the_record(cuda_judge: Judge, rows: TaskSource, gpu: Device) -> None:
    profile = await timed(cuda_judge, rows, gpu, EAGER)
    clocks = profile.record["clocks"]
    print(clocks, profile.record["throttled"])
    assert "absent" not in clocks
    for side in ("reference", "candidate"):
        assert clocks["sm_mhz"][side] > 100 and clocks["memory_mhz"][side] > 100
    assert 10 < clocks["temperature_c"] < 110
    assert clocks["windows"] == 2 * len(profile.record["pairs_ms"])


async def test_torch_compile_is_a_second_baseline(judge_settings: JudgeSettings, rows: TaskSource, gpu: Device) -> None:
    """With Inductor's own Triton kernels, compiled in the sandbox."""
    settings = msgspec.structs.replace(judge_settings, memory_mib=16384, time_seconds=4.0, compile_baseline=True)
    async with Judge(settings, gpu.kind) as comparing:
        profile = await timed(comparing, rows, gpu, TRITON)
    found = profile.record["compile_baseline"]
    print(found)
    assert profile.measurement is not None and "absent" not in found
    assert found["low"] <= found["speedup"] <= found["high"]
    assert found["speedup"] < profile.measurement.speedup, "compiled, the task is faster than eager"


async def test_counters_are_read_or_said_to_be_absent(
    judge_settings: JudgeSettings, rows: TaskSource, gpu: Device
) -> None:
    settings = msgspec.structs.replace(judge_settings, memory_mib=16384, time_seconds=2.0, counters=True)
    async with Judge(settings, gpu.kind) as counting:
        profile = await timed(counting, rows, gpu, TRITON)
    found = profile.record["counters"]
    print(found, profile.seconds.get("count"))
    assert profile.outcome is Outcome.PASSED
    if "absent" in found:
        assert any(word in found["absent"] for word in ("not installed", "ERR_NVGPUCTRPERM")), found
        return
    (launch,) = [launch for launch in found["launches"] if launch["name"].startswith("rows")]
    assert launch["seconds"] > 0 and 0 < launch["dram"] <= 100 and 0 < launch["occupancy"] <= 100
    assert "counters of rows" in profile.feedback.summary


async def test_kernels_are_compiled_before_there_is_a_device(cuda_judge: Judge, rows: TaskSource, gpu: Device) -> None:
    artefact = await cuda_judge.compile(rows, FORESEEN)
    assert isinstance(artefact, Artefact), artefact.feedback
    assert artefact.record["foreseen"].startswith("compiled for"), artefact.record
    verdict = await cuda_judge.validate(rows, artefact, gpu)
    assert verdict.outcome is Outcome.PASSED, verdict.feedback


async def test_what_autotuning_measured_goes_to_the_process_that_is_timed(
    cuda_judge: Judge, rows: TaskSource, gpu: Device
) -> None:
    artefact = await cuda_judge.compile(rows, AUTOTUNED)
    assert isinstance(artefact, Artefact), artefact.feedback
    verdict = await cuda_judge.validate(rows, artefact, gpu)
    assert verdict.outcome is Outcome.PASSED, verdict.feedback
    profile = await cuda_judge.profile(rows, artefact, gpu)
    assert "measured before, and 0 times here" in profile.feedback.summary, profile.feedback


async def test_what_every_process_would_do_is_done_before_the_first_kernel(
    cuda_judge: Judge, rows: TaskSource, gpu: Device
) -> None:
    judged = await verdict(cuda_judge, rows, gpu, AHEAD)
    assert judged.outcome is Outcome.PASSED, judged.feedback


async def test_wrong_values_are_caught(cuda_judge: Judge, rows: TaskSource, gpu: Device) -> None:
    judged = await verdict(cuda_judge, rows, gpu, WRONG)
    assert judged.outcome is Outcome.WRONG_VALUES, judged.feedback


async def test_a_products_default_precision_is_named(cuda_judge: Judge, gpu: Device) -> None:
    strict = TaskSource(name="product", source=MATMUL_TASK)
    judged = await verdict(cuda_judge, strict, gpu, TF32)
    assert judged.outcome is Outcome.PRECISION_DOWNGRADE, judged.feedback
    allowed = msgspec.structs.replace(strict, precision="tf32")
    judged = await verdict(cuda_judge, allowed, gpu, TF32)
    assert judged.outcome is Outcome.PASSED, judged.feedback


@pytest.mark.parametrize(
    ("source", "outcome"), [(OUT_OF_BOUNDS, Outcome.RUNTIME_ERROR), (ENDLESS, Outcome.TIMEOUT)],
    ids=["out of bounds", "endless"],
)
async def test_a_kernel_that_breaks_its_context_breaks_nothing_else(
    cuda_judge: Judge, rows: TaskSource, gpu: Device, source: str, outcome: Outcome
) -> None:
    judged = await verdict(cuda_judge, rows, gpu, source)
    assert judged.outcome is outcome, judged.feedback
    print(judged.feedback.summary, judged.seconds)
    after = await verdict(cuda_judge, rows, gpu, TRITON)
    assert after.outcome is Outcome.PASSED, after.feedback


async def test_work_on_a_side_stream_is_waited_for_and_counted(
    cuda_judge: Judge, rows: TaskSource, gpu: Device
) -> None:
    profile = await timed(cuda_judge, rows, gpu, SIDE_STREAM)
    assert profile.outcome is Outcome.PASSED, profile.feedback
    assert profile.measurement is not None
    assert profile.measurement.speedup < 0.5


@pytest.mark.alone
async def test_an_idle_judge_leaves_the_device_its_memory(cuda_judge: Judge, rows: TaskSource, gpu: Device) -> None:
    """References of 2 GiB outputs take several times as much."""
    large = TaskSource(name="large", source=LARGE_TASK)
    assert (await verdict(cuda_judge, rows, gpu, EAGER)).outcome is Outcome.PASSED
    before, memory = torch.cuda.mem_get_info(gpu.index)
    assert (await verdict(cuda_judge, large, gpu, EAGER)).outcome is Outcome.PASSED
    for _ in range(100):  # the driver takes back what a killed process had in its own time
        held = before - torch.cuda.mem_get_info(gpu.index)[0]
        if held <= memory // 16 + (2 << 30):  # small references, and what torch may hoard
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{held} bytes are still taken")


@pytest.mark.alone
async def test_a_device_has_room_to_look_closely_at_huge_outputs(cuda_judge: Judge, gpu: Device) -> None:
    huge = TaskSource(name="huge", source=HUGE_TASK)
    assert (await verdict(cuda_judge, huge, gpu, HUGE_RIGHT)).outcome is Outcome.PASSED
    assert (await verdict(cuda_judge, huge, gpu, HUGE_WRONG)).outcome is Outcome.WRONG_VALUES
