"""Calls whose clock runs from the word to go until the process says that it is over, as a GPU's do; here on a CPU."""
from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
import torch

from common.devices import Device
from common.judge import JudgeSettings
from common.judge.lane.arena import HostArena
from common.judge.lane.candidate import Candidate
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.parcel import inline, input_bytes, output_bytes, parcel
from common.judge.lane.serve import Bench
from common.judge.tree import Tree, pack
from common.messages import Outcome
from tests.judge.direct import bench_for, candidate_on
from tests.judge.sources import candidate

SERIES = [[torch.randn(4, 768)] for _ in range(3)]
SLEEP = 0.05


class Apart(HostArena):
    """Whose copies take long, and are timed apart."""

    apart = True

    def deliver(self) -> None:
        time.sleep(SLEEP)
        super().deliver()

    def take(self) -> None:
        time.sleep(SLEEP)
        super().take()


@pytest_asyncio.fixture
async def bench(judge_settings: JudgeSettings) -> AsyncIterator[Bench]:
    async with bench_for(judge_settings) as started:
        yield started


@contextmanager
def frozen(bench: Bench, device: Device, source: str) -> Iterator[tuple[Candidate, Tree, list[Tree]]]:
    """A candidate that has been given three calls' inputs, and is frozen."""
    with candidate_on(bench, device.cores) as process:
        process.load(source, {}, "fp32")
        process.make(1, pack([768], inline))
        process.share(lambda: Apart(3 * input_bytes(SERIES[0]), 3 * output_bytes(SERIES[0])))
        first, *more = process.arena.give_all(parcel(SERIES, torch.device("cpu")))
        process.freeze()
        yield process, first, more


async def test_the_judges_own_copies_are_not_on_the_clock(bench: Bench, device: Device) -> None:
    with frozen(bench, device, candidate("return x * 2")) as (process, first, more):
        done, seconds, around, *_ = process.call(first, more=more, thaw=True)
        assert 0 < seconds < SLEEP and around >= 2 * SLEEP
        kept = process.arena.keep()
        for result, (x,) in zip((done, *done.more), SERIES, strict=True):
            assert torch.equal(kept.output(result.outputs[0]), x * 2)
        process.freeze()
        again = process.call(first, more=more, thaw=True, empty=True)
        assert again.seconds < SLEEP and len(again.done.more) == 2


async def test_what_forward_takes_is_on_the_clock(bench: Bench, device: Device) -> None:
    body = f"import time; time.sleep({SLEEP}); return x * 2"
    with frozen(bench, device, candidate(body)) as (process, first, more):
        done, seconds, *_ = process.call(first, more=more, thaw=True)
        assert 3 * SLEEP <= done.span <= seconds
        process.freeze()
        one = process.call(first, thaw=True)
        assert SLEEP <= one.done.span <= one.seconds < 2 * SLEEP


async def test_a_call_that_fails_is_told_as_any_other(bench: Bench, device: Device) -> None:
    with frozen(bench, device, candidate("raise ValueError('no')")) as (process, first, more):
        with pytest.raises(CandidateEnded) as caught:
            process.call(first, more=more, thaw=True)
        assert caught.value.outcome is Outcome.RUNTIME_ERROR and "no" in caught.value.feedback.message


AHEAD = """
import contextlib, gc, socket
from common.judge.protocol import Prepared, encode
from common.judge.wire import send_frame
for inbox in [s for s in gc.get_objects() if isinstance(s, socket.socket)]:
    with contextlib.suppress(OSError):
        send_frame(inbox, encode(Prepared()))
return x * 2
"""


async def test_another_answer_than_the_one_due_ends_it(bench: Bench, device: Device) -> None:
    """Said from inside the call, where Ended is due."""
    with frozen(bench, device, candidate(AHEAD)) as (process, first, more):
        with pytest.raises(CandidateEnded) as caught:
            process.call(first, more=more, thaw=True)
        assert caught.value.outcome is Outcome.CHEATED, caught.value.feedback
