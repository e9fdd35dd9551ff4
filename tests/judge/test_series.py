"""Several calls in one window, as a GPU's are timed: here on a CPU, where the protocol is the same."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import msgspec
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from common.devices import Device
from common.judge import JudgeSettings
from common.judge.check import Returned
from common.judge.lane.arena import HostArena
from common.judge.lane.candidate import Candidate
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.parcel import inline, input_bytes, output_bytes, parcel
from common.judge.lane.receive import Received
from common.judge.lane.series import MOST, series_length
from common.judge.lane.serve import Bench
from common.judge.lane.sizing import Sizing
from common.judge.lane.tasks import KnownTask
from common.judge.lane.timing import Timing
from common.judge.lane.turn import LONG, WARMED_BELOW
from common.judge.tree import pack
from common.messages import Outcome, TaskSource
from tests.judge.direct import bench_for, candidate_on
from tests.judge.sources import candidate

_FREE = 100 << 30


def test_a_window_holds_as_many_calls_as_fill_it_and_fit() -> None:
    assert series_length(1.0, 1.0, 1 << 20, _FREE) == 1
    assert series_length(1e-3, 1e-3, 1 << 20, _FREE) == 5
    assert series_length(-1e-4, 1e-5, 1 << 20, _FREE) == MOST
    assert series_length(1e-5, 1e-5, 1 << 30, _FREE) == 10
    assert series_length(1e-5, 1e-5, 1 << 30, 1 << 30) == 1


def test_the_slower_sides_window_does_not_take_too_long() -> None:
    assert series_length(1e-4, 1e-2, 1 << 20, _FREE) == 10
    assert series_length(1e-5, 1.0, 1 << 20, _FREE) == 1


async def test_each_call_of_a_series_has_inputs_and_outputs_of_its_own(
    judge_settings: JudgeSettings, device: Device
) -> None:
    series = [[torch.randn(4, 768)] for _ in range(3)]
    async with bench_for(judge_settings) as bench:
        with candidate_on(bench, device.cores) as process:
            process.load(candidate("return x * 2"), {}, "fp32")
            process.make(1, pack([768], inline))
            process.share(lambda: HostArena(3 * input_bytes(series[0]), 3 * output_bytes(series[0])))
            first, *more = process.arena.give_all(parcel(series, torch.device("cpu")))
            done = process.call(first, more=more).done
            kept = process.arena.keep()
            again = process.call(first, more=more, empty=True).done
            for result, (x,) in zip((done, *done.more), series, strict=True):
                assert torch.equal(kept.output(result.outputs[0]), x * 2)
            assert torch.equal(process.arena.keep().output(again.more[0].outputs[0]), series[-1][0] * 2)


MANY = """
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return x * 2, torch.view_as_complex(x.view(-1, 2) * 3), {"above": x > 0, "whole": (9 * x).long()}


def get_inputs():
    return [torch.randn(64, 40)]


def get_init_inputs():
    return []
"""
_CHANGES = {
    "floating": "out = (one * (1 + 1e-3), two, rest)",
    "complex": "out = (one, torch.complex(two.real, two.imag * (1 + 1e-3)), rest)",
    "boolean": "rest['above'][-1, -1] ^= True",
    "integer": "rest['whole'][0, 0] += 1",
    "NaN": "one[-1, -1] = float('nan')",
}
_FORMER = 3
"""Calls before the first timed one."""


def changing(number: int, change: str) -> str:
    """Eager, but for one of its calls."""
    body = f"""
class ModelNew(Model):
    def forward(self, x):
        one, two, rest = out = super().forward(x)
        self.calls = getattr(self, 'calls', 0) + 1
        if self.calls == {_FORMER + 1 + number}:
            {change}
        return out
"""
    return MANY + body


@contextmanager
def timing_of(bench: Bench, device: Device, task: str, source: str) -> Iterator[Timing]:
    """Of a source against the task's own model, not begun."""
    known = KnownTask(TaskSource(name="windows", source=task), torch.device("cpu"))
    with candidate_on(bench, device.cores) as process, candidate_on(bench, device.cores) as reference:
        process.load(source, {}, "fp32")
        reference.load(f"{task}\nModelNew = Model\n", {}, "fp32")
        yield Timing(bench, known, process, reference)


@contextmanager
def windows_of(
    bench: Bench, device: Device, task: str, source: str, calls: int, room: int = 1 << 21
) -> Iterator[Timing]:
    """A timing whose windows hold so many calls, each side's after one that warms caches."""
    with timing_of(bench, device, task, source) as timing:
        timing._prepare()
        timing._timer.alone = dict.fromkeys(timing._timer.alone, 0.0)
        sides = timing._candidate, timing._reference
        sizing = Sizing(sides, lambda side: nullcontext(), timing.inputs, torch.device("cpu"))
        timing._calls = sizing.lengthen(calls, (room, room))
        yield timing


@pytest.mark.parametrize("apart", [False, True])
async def test_a_right_series_is_timed_and_its_seconds_are_told(
    judge_settings: JudgeSettings, device: Device, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostArena, "apart", apart)
    async with bench_for(judge_settings) as bench:
        with windows_of(bench, device, MANY, changing(-9, "pass"), 4) as timing:
            block = timing._block(1)
            assert min(block.pair) > 0 and bool(min(block.around)) is apart
            assert len(block.reference_path) == len(block.candidate_path) > 0
            spent = timing.record()["spent"]
            assert spent.keys() >= {"draw", "give", "warm", "timed", "freeze", "path", "receive", "compare"}
            assert all(seconds >= 0 for seconds in spent.values())


@pytest.mark.parametrize(
    ("candidate", "reference", "warmed"),
    [
        (WARMED_BELOW / 2, WARMED_BELOW / 2, [True, True]), (WARMED_BELOW, WARMED_BELOW, [False, False]),
        (WARMED_BELOW / 2, LONG / 2, [True, True]), (WARMED_BELOW / 2, LONG, [True, False]),
    ],
    ids=["short", "neither short", "one short", "one long"],
)
async def test_only_short_calls_are_preceded_by_one_that_warms_caches(
    judge_settings: JudgeSettings, device: Device, candidate: float, reference: float, warmed: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[Candidate] = []
    untouched = Candidate.call
    async with bench_for(judge_settings) as bench:
        with windows_of(bench, device, MANY, changing(-9, "pass"), 1) as timing:
            sides = [timing._candidate, timing._reference]
            timing._timer.alone = dict(zip(sides, (candidate, reference), strict=True))

            def call(side: Candidate, *args: Any, **options: Any) -> Any:
                called.append(side)
                return untouched(side, *args, **options)

            monkeypatch.setattr(Candidate, "call", call)
            block = timing._block(1)
            assert [called.count(side) - 1 - len(block.candidate_path) for side in sides] == warmed
            assert ("warm" in timing.record()["spent"]) is any(warmed)


@pytest.mark.parametrize("late", ["reference", "candidate"])
async def test_a_reference_that_was_launched_late_was_disturbed(
    judge_settings: JudgeSettings, device: Device, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate could be late whenever it likes."""
    untouched = Candidate.call
    monkeypatch.setattr("common.judge.lane.turn.disturbed", lambda waited, seconds: False)
    async with bench_for(judge_settings) as bench:
        with windows_of(bench, device, MANY, changing(-9, "pass"), 4) as timing:
            side = timing._reference if late == "reference" else timing._candidate

            def call(called: Candidate, *args: Any, **options: Any) -> Any:
                return untouched(called, *args, **options)._replace(ahead=called is not side)

            monkeypatch.setattr(Candidate, "call", call)
            assert timing._block(1).disturbed is (late == "reference")


async def test_the_path_of_a_window_is_one_of_as_many_empty_calls(
    judge_settings: JudgeSettings, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty: list[tuple[Candidate, int, float]] = []
    untouched = Candidate.call

    def call(side: Candidate, *args: Any, **options: Any) -> Any:
        answered = untouched(side, *args, **options)
        if options.get("empty"):
            empty.append((side, 1 + len(options["more"]), answered.seconds))
        return answered

    async with bench_for(judge_settings) as bench:
        with windows_of(bench, device, MANY, changing(-9, "pass"), 4) as timing:
            monkeypatch.setattr(Candidate, "call", call)
            block = timing._block(1)
            for side, path in ((timing._reference, block.reference_path), (timing._candidate, block.candidate_path)):
                windows = [seconds for owner, calls, seconds in empty if (owner, calls) == (side, 4)]
                assert [4 * one.seconds for one in path] == pytest.approx(windows)


@pytest.mark.parametrize(("bar", "pairs"), [(0.0, 12), (1e9, 8)])
async def test_an_interval_below_the_bar_is_not_made_narrower(
    judge_settings: JudgeSettings, device: Device, bar: float, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.judge.lane.turn.disturbed", lambda waited, seconds: False)
    wanted = msgspec.structs.replace(judge_settings, pairs=8, pairs_most=12, target_width=1e-9, time_seconds=600.0)
    async with bench_for(wanted) as bench:
        with timing_of(bench, device, MANY, changing(-9, "pass")) as timing:
            assert timing.run(bar).pairs == pairs


async def test_a_profile_that_takes_too_long_ends_with_the_pairs_it_has(
    judge_settings: JudgeSettings, device: Device
) -> None:
    wanted = msgspec.structs.replace(judge_settings, pairs=12, pairs_most=12, profile_seconds=0.0)
    async with bench_for(wanted) as bench:
        with timing_of(bench, device, MANY, changing(-9, "pass")) as timing:
            assert timing.run().pairs == 4


@pytest.mark.parametrize(("floors", "accused"), [([1e9, 0.0], False), ([1e9, 1e9], True)])
async def test_a_floor_is_measured_anew_before_anybody_is_accused(
    judge_settings: JudgeSettings, device: Device, floors: list[float], accused: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = msgspec.structs.replace(judge_settings, pairs=4, pairs_most=4)
    measured = iter(floors)
    monkeypatch.setattr(Timing, "_floor", lambda timing: next(measured))
    async with bench_for(wanted) as bench:
        refusal = pytest.raises(CandidateEnded, match="cannot be written") if accused else nullcontext()
        with timing_of(bench, device, MANY, changing(-9, "pass")) as timing, refusal:
            timing.run()


def test_an_arena_without_room_for_what_it_takes_gives_its_own_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*size: Any, **options: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(torch, "zeros", full)
    with pytest.raises(torch.OutOfMemoryError):
        HostArena(1 << 20, 1 << 20)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize(("change", "number"), list(zip(_CHANGES, [0, 3, 0, 3, 3], strict=True)))
async def test_every_call_of_a_timed_series_is_checked(
    judge_settings: JudgeSettings, device: Device, change: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostArena, "apart", number > 0)
    async with bench_for(judge_settings) as bench:
        with windows_of(bench, device, MANY, changing(number, _CHANGES[change]), 4) as timing:
            with pytest.raises(CandidateEnded) as caught:
                timing._block(1)
            assert caught.value.outcome is Outcome.WRONG_VALUES
            assert caught.value.feedback.summary.startswith("in a timed call")


async def test_a_task_whose_outputs_grow_is_rejected(judge_settings: JudgeSettings, device: Device) -> None:
    """Nobody is to blame that there is no room for them."""
    async with bench_for(judge_settings) as bench:
        with timing_of(bench, device, MANY, changing(-9, "pass")) as timing:
            larger = Received("T", [Returned(torch.empty(1 << 20, device="meta"))])
            with pytest.raises(CandidateEnded) as caught:
                timing._compare([timing._case(1)], [larger], [larger])
            assert caught.value.outcome is Outcome.REJECTED_TASK


class Asked(TorchDispatchMode):
    """What a block of the judge's code asks of torch: operations that launch, and those whose answer is waited for."""

    VIEWS = frozenset({"view", "slice", "detach", "as_strided", "select", "split", "view_as_real", "unsqueeze"})
    WAITS = frozenset({"_local_scalar_dense", "equal", "nonzero", "index", "masked_select"})

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.waits = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        self.launches += name not in self.VIEWS
        self.waits += name in self.WAITS
        return func(*args, **(kwargs or {}))


async def test_a_windows_surroundings_cost_the_same_however_many_its_calls(
    judge_settings: JudgeSettings, device: Device
) -> None:
    """But for one draw a call. Each launch and each wait is time on a GPU, twelve times a profile and more."""
    asked = {}
    async with bench_for(judge_settings) as bench:
        for calls in (4, 32):
            with windows_of(bench, device, MANY, changing(-9, "pass"), calls) as timing, Asked() as asked[calls]:
                timing._block(1)
    draws = 32 - 4
    assert asked[32].launches - asked[4].launches <= draws + 8
    assert asked[32].waits == asked[4].waits <= 8, "the inputs of both sides"
    assert asked[4].launches <= 150
