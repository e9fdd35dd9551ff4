"""A candidate that speaks to the judge by itself, leaves work for later or keeps what it should not: each is caught."""
from __future__ import annotations

import os

import pytest

from common.devices import Device
from common.judge import Artefact, Judge
from common.judge.lane.arena import HostArena
from common.messages import Judgement, Outcome, TaskSource
from tests.judge.sources import candidate

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOCKET = """
import os, socket, struct, sys, threading, time
import msgspec
import torch
import torch.nn as nn
WIRE = next(int(fd) for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}") and os.readlink(f"/proc/self/fd/{fd}").startswith("socket"))
def honest(x, w):
    return torch.relu(x * w + 0.5) * 2.0 - x
def frame(data):
    os.write(WIRE, struct.pack("<I", len(data)) + data)
"""
RIGHT = "honest(x, self.weight)"

SPEAKING = {
    "garbage": (f"os.write(WIRE, b'\\x05\\x00\\x00\\x00hello')\nreturn {RIGHT}", "a frame that is none"),
    "oversized": (f"os.write(WIRE, struct.pack('<I', 1 << 31))\nreturn {RIGHT}", "at most"),
    "an answer sent ahead": (
        "frame(msgspec.msgpack.encode({'type': 'Done', 'nonce': 7, 'spec': 'T', 'outputs': [], 'span': 0.0}))\n"
        f"return {RIGHT}", "another call",
    ),
    "another kind of answer": (f"frame(msgspec.msgpack.encode({{'type': 'Mapped'}}))\nreturn {RIGHT}", "Mapped"),
    "an output that lies outside": (
        "import common.judge.child.places as places\n"
        "told = places.Leaf.output\n"
        "places.Leaf.output = lambda leaf: msgspec.structs.replace(told(leaf), at=1 << 40)\n"
        f"return {RIGHT}", "described as what it is not",
    ),
    "an output of absurd shape": (
        "import common.judge.child.places as places\n"
        "told = places.Leaf.output\n"
        "places.Leaf.output = lambda leaf: msgspec.structs.replace(told(leaf), shape=(1 << 62, 1 << 62))\n"
        f"return {RIGHT}", "described as what it is not",
    ),
    "a number where a tensor was": (
        "import common.judge.child.places as places\n"
        "told = places.Leaf.output\n"
        "places.Leaf.output = lambda leaf: msgspec.structs.replace(told(leaf), dtype='', value=1.0)\n"
        f"return {RIGHT}", "not of the kind",
    ),
}


async def validated(judge: Judge, small: TaskSource, device: Device, source: str) -> Judgement:
    return await judge.validate(small, Artefact(source=source), device)


@pytest.mark.parametrize(("forward", "words"), SPEAKING.values(), ids=SPEAKING)
async def test_frames_of_its_own_are_no_answers(
    judge: Judge, small: TaskSource, device: Device, forward: str, words: str
) -> None:
    verdict = await validated(judge, small, device, candidate(forward, head=SOCKET))
    assert (verdict.outcome, words in verdict.feedback.summary) == (Outcome.CHEATED, True), verdict.feedback


UNFINISHED = {
    "an answer with the right nonce, before the work": (
        "order = sys._getframe(1)\n"
        "while 'order' not in order.f_locals: order = order.f_back\n"
        "call = order.f_locals['order']\n"
        "out = dict(type_name='Tensor', dtype='float32', shape=list(x.shape), device='cpu', at=call.outputs_at)\n"
        "done = dict(type='Done', nonce=call.nonce, spec='T', outputs=[out], span=0.0)\n"
        "frame(msgspec.msgpack.encode(done))\n"
        f"time.sleep(0.2)\nreturn {RIGHT}",
        Outcome.WRONG_VALUES,
    ),
    "a thread that finishes later": (
        "y = torch.zeros_like(x)\n"
        f"threading.Timer(0.05, lambda: y.copy_({RIGHT})).start()\n"
        "return y",
        Outcome.WRONG_VALUES,
    ),
    "a lazy subclass": (
        "class Lazy(torch.Tensor): pass\n"
        f"return {RIGHT}.as_subclass(Lazy)",
        Outcome.CHEATED,
    ),
    "one buffer for all results": (
        "self.__dict__.setdefault('buffer', {})\n"
        f"y = {RIGHT}\n"
        "buffer = self.buffer.setdefault(tuple(y.shape), torch.empty_like(y))\n"
        "return buffer.copy_(y)",
        Outcome.WRONG_VALUES,
    ),
    "the result of an earlier call": (
        f"self.__dict__.setdefault('results', {{}}).setdefault(tuple(x.shape), {RIGHT})\n"
        "return self.results[tuple(x.shape)].clone()",
        Outcome.WRONG_VALUES,
    ),
    "the result for the same address": (
        f"self.__dict__.setdefault('results', {{}}).setdefault(x.data_ptr(), {RIGHT})\n"
        "return self.results[x.data_ptr()].clone()",
        Outcome.WRONG_VALUES,
    ),
    "uninitialised memory": ("return torch.empty_like(x)", Outcome.WRONG_VALUES),
}


@pytest.mark.parametrize(("forward", "outcome"), UNFINISHED.values(), ids=UNFINISHED)
async def test_work_not_done_when_forward_returns_does_not_count(
    judge: Judge, small: TaskSource, device: Device, forward: str, outcome: Outcome
) -> None:
    verdict = await validated(judge, small, device, candidate(forward, head=SOCKET))
    assert verdict.outcome is outcome, verdict.feedback


HARMLESS = {
    "much output": f"print('x' * (10 << 20))\nreturn {RIGHT}",
    "closed log": f"os.closerange(1, 3)\nreturn {RIGHT}",
    "patched clocks": f"time.perf_counter = time.monotonic = lambda: 0.0\nreturn {RIGHT}",
    "idle threads": f"threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nreturn {RIGHT}",
}


@pytest.mark.parametrize("forward", HARMLESS.values(), ids=HARMLESS)
async def test_what_only_looks_odd_passes(judge: Judge, small: TaskSource, device: Device, forward: str) -> None:
    verdict = await validated(judge, small, device, candidate(forward, head=SOCKET))
    assert verdict.outcome is Outcome.PASSED, verdict.feedback


ENDINGS = {
    "closes every descriptor": "os.closerange(0, 64)\ntime.sleep(1)",
    "stops itself": "os.kill(os.getpid(), 19)",
    "kills everything": "os.kill(-1, 9)",
    "exits": "raise SystemExit(0)",
    "an exception that cannot be read": "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
    "an enormous message": "raise ValueError('x' * (64 << 20))",
    "recursion": "return self.forward(x)",
    "leaves a child behind": "if os.fork() == 0: time.sleep(600)\nos._exit(3)",
}


@pytest.mark.parametrize("forward", ENDINGS.values(), ids=ENDINGS)
async def test_every_ending_is_an_outcome(judge: Judge, small: TaskSource, device: Device, forward: str) -> None:
    verdict = await validated(judge, small, device, candidate(forward, head=SOCKET))
    wanted = Outcome.TIMEOUT if "19" in forward else Outcome.RUNTIME_ERROR
    assert verdict.outcome is wanted, verdict.feedback
    assert len(verdict.feedback.message) < 10_000


@pytest.mark.alone
async def test_a_clock_that_lies_is_told_by_the_judges(judge: Judge, small: TaskSource, device: Device) -> None:
    """It patches every clock it can reach and sleeps. Alone: a noisy path gives it the benefit of the doubt."""
    forward = f"time.perf_counter = time.monotonic = lambda: 0.0\ntime.sleep(0.03)\nreturn {RIGHT}"
    profile = await judge.profile(small, Artefact(source=candidate(forward, head=SOCKET)), device)
    assert profile.outcome is Outcome.CHEATED and "its own clock says 0 ms" in profile.feedback.summary
    assert profile.record["clocks"]["judge"] >= 0.03


async def test_work_cannot_begin_before_the_clock(judge: Judge, small: TaskSource, device: Device) -> None:
    """A thread watches the inputs' memory and starts 30 ms of work as soon as they change."""
    head = SOCKET + '''
class Ahead(threading.Thread):
    def __init__(self, x):
        super().__init__(daemon=True)
        self.x, self.seen, self.ready = x, None, threading.Event()
    def run(self):
        while True:
            now = self.x.view(torch.int32).sum().item()
            if now != self.seen:
                time.sleep(0.03)
                self.seen = now
                self.ready.set()
'''
    forward = f'''
if not hasattr(self, "ahead"):
    self.ahead = Ahead(x)
    self.ahead.start()
self.ahead.x = x
while self.ahead.seen != x.view(torch.int32).sum().item():
    time.sleep(0.0001)
return {RIGHT}'''
    profile = await judge.profile(small, Artefact(source=candidate(forward, head=head)), device)
    assert profile.measurement is not None, profile.feedback
    assert profile.measurement.candidate_ms >= 29


async def test_the_arena_cannot_be_shrunk() -> None:
    arena = HostArena(1000, 1000)
    for size in (0, arena.size * 2):
        with pytest.raises(PermissionError):
            os.ftruncate(arena.fd, size)
    arena.close()
