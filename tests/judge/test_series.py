"""Several calls in one window, as a GPU's are timed: here on a CPU, where the protocol is the same."""
from __future__ import annotations

import pytest
import torch

from common.devices import Device
from common.judge import JudgeSettings
from common.judge.lane.arena import HostArena, inline, input_bytes, output_bytes
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.series import MOST, series_length
from common.judge.lane.tasks import KnownTask
from common.judge.lane.timing import Timing
from common.judge.tree import pack
from common.messages import Outcome, TaskSource
from tests.judge.direct import bench_for, candidate_on
from tests.judge.sources import EAGER, TASK, candidate

_FREE = 100 << 30


def test_a_window_holds_as_many_calls_as_fill_it_and_fit() -> None:
    assert series_length(1.0, 1 << 20, _FREE) == 1
    assert series_length(1e-3, 1 << 20, _FREE) == 10
    assert series_length(-1e-4, 1 << 20, _FREE) == MOST
    assert series_length(1e-5, 1 << 30, _FREE) == 6
    assert series_length(1e-5, 1 << 30, 1 << 30) == 1


async def test_each_call_of_a_series_has_inputs_and_outputs_of_its_own(
    judge_settings: JudgeSettings, device: Device
) -> None:
    series = [[torch.randn(4, 768)] for _ in range(3)]
    async with bench_for(judge_settings) as bench:
        with candidate_on(bench, device.cores) as process:
            process.load(candidate("return x * 2"), {}, "fp32")
            process.make(1, pack([768], inline))
            process.share(HostArena(3 * input_bytes(series[0]), 3 * output_bytes(series[0])))
            first, *more = process.arena.give_all(series)
            done = process.call(first, more=more).done
            for result, (x,) in zip((done, *done.more), series, strict=True):
                assert torch.equal(process.arena.taken(result.outputs[0]), x * 2)
            again = process.call(first, more=more, empty=True).done
            assert torch.equal(process.arena.taken(again.more[0].outputs[0]), series[-1][0] * 2)


@pytest.mark.parametrize(("source", "right"), [
    (EAGER, True),
    (candidate("self.calls = getattr(self, 'calls', 0) + 1\nreturn (torch.relu(x * self.weight + 0.5) * 2.0 - x) * "
               "(1.0 if self.calls % 5 else 1.01)"), False),
], ids=["right", "wrong in one call of the series"])
async def test_every_call_of_a_timed_series_is_checked(
    judge_settings: JudgeSettings, device: Device, source: str, right: bool
) -> None:
    known = KnownTask(TaskSource(name="gated", source=TASK), torch.device("cpu"))
    async with bench_for(judge_settings) as bench:
        with candidate_on(bench, device.cores) as process, candidate_on(bench, device.cores) as reference:
            process.load(source, {}, "fp32")
            reference.load(f"{TASK}\nModelNew = Model\n", {}, "fp32")
            timing = Timing(bench, known, process, reference)
            timing._prepare()
            timing._lengthen(4, (1 << 21, 1 << 21))
            if right:
                block = timing._block(1)
                assert min(block.pair) > 0 and len(block.reference_path) == len(block.candidate_path) > 0
                return
            with pytest.raises(CandidateEnded) as caught:
                timing._block(1)
            assert caught.value.outcome is Outcome.WRONG_VALUES
