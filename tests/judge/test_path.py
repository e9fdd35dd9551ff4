"""The whole path on a CPU: compile, run in the sandbox, check, time; and what happens when something goes wrong."""
from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from common.devices import Device
from common.judge import Artefact, Judge, JudgeSettings
from common.messages import Judgement, Outcome, TaskSource
from tests.judge.sources import CPP, EAGER, HEAD, HONEST, TASK, candidate

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def judged(judge: Judge, task: TaskSource, device: Device, source: str) -> Judgement:
    """The verdict: of compiling where that decides, else of validation."""
    artefact = await judge.compile(task, source)
    if isinstance(artefact, Judgement):
        return artefact
    return await judge.validate(task, artefact, device)


@pytest.mark.alone
async def test_a_right_kernel_passes_and_is_faster_than_a_wasteful_reference(judge: Judge, device: Device) -> None:
    """So wasteful that no load of the machine turns it round."""
    waste = "for _ in range(200):\n            torch.relu(x)\n        return torch.relu"
    task = TaskSource(name="wasteful", source=TASK.replace("return torch.relu", waste))
    artefact = await judge.compile(task, HONEST)
    assert isinstance(artefact, Artefact)
    verdict = await judge.validate(task, artefact, device)
    assert (verdict.outcome, verdict.labels) == (Outcome.PASSED, ()), verdict.feedback
    assert len(verdict.record["error_ratios"]) >= 10
    profile = await judge.profile(task, artefact, device)
    assert profile.outcome is Outcome.PASSED, profile.feedback
    assert profile.measurement is not None
    measured = profile.measurement
    assert measured.low <= measured.speedup <= measured.high
    assert measured.speedup > 2.0
    assert measured.pairs in (len(profile.record["pairs_ms"]), undisturbed(profile.record))
    assert profile.record["roofline"]["bytes_moved"] > 0 and "of a copy's" in profile.feedback.summary


async def test_eager_itself_passes_as_library_only(judge: Judge, task: TaskSource, device: Device) -> None:
    artefact = await judge.compile(task, EAGER)
    assert isinstance(artefact, Artefact)
    verdict = await judge.validate(task, artefact, device)
    assert (verdict.outcome, verdict.labels) == (Outcome.PASSED, ("library_only",)), verdict.feedback
    profile = await judge.profile(task, artefact, device)
    assert "library_only" in profile.labels
    assert profile.measurement is not None


def undisturbed(record: dict[str, Any]) -> int:
    return len(record["pairs_ms"]) - len(record["disturbed"])


LATE = HEAD.split("ext = ")[0], "self.ext = " + HEAD.split("ext = ")[1].strip()
"""Head, and what of it is done while the model is made."""


async def test_an_extension_may_be_built_while_the_model_is_made(
    judge: Judge, small: TaskSource, device: Device
) -> None:
    """It is built before a device is taken, and is there for a second model, with other weights, after calls of the
    first."""
    head, init = LATE
    source = candidate("return self.ext.gate(x, self.weight)", head=head, init=init)
    artefact = await judge.compile(small, source)
    assert isinstance(artefact, Artefact) and len(artefact.extensions) == 1
    verdict = await judge.validate(small, artefact, device)
    assert (verdict.outcome, verdict.labels) == (Outcome.PASSED, ()), verdict.feedback


EARLY = "float(self.weight.sum())", "import os; os._exit(3)", "raise RuntimeError('no device')", "while True: pass"


async def test_what_ends_a_constructor_without_a_device_is_not_held_against_it(
    judge_settings: JudgeSettings, small: TaskSource
) -> None:
    """Here it would fail on a device too: that is where it is found out."""
    head, init = LATE
    async with Judge(msgspec.structs.replace(judge_settings, load_seconds=5.0), "cpu") as judge:
        for early in EARLY:
            source = candidate("return self.ext.gate(x, self.weight)", head=head, init=f"{early}\n        {init}")
            artefact = await judge.compile(small, source)
            assert isinstance(artefact, Artefact) and not artefact.extensions, early


FAILURES = [
    ("return ext.misses_tail(x, self.weight)", HEAD, Outcome.WRONG_VALUES, "far off"),
    ("return ext.crash(x, self.weight)", HEAD, Outcome.RUNTIME_ERROR, "SIGSEGV in forward"),
    ("return ext.gate(x, self.weight).double()", HEAD, Outcome.WRONG_DTYPE, "float64"),
    ("return x[:, :1]", None, Outcome.WRONG_SHAPE, "shape"),
    ("return undefined(x)", None, Outcome.RUNTIME_ERROR, "NameError in forward"),
    ("while True: pass", None, Outcome.TIMEOUT, "no end within the time allowed in forward"),
    ("import os; os._exit(0)", None, Outcome.RUNTIME_ERROR, "exited with code 0"),
    ("return [torch.ones(1 << 26) for _ in range(64)]", None, Outcome.OUT_OF_MEMORY, "memory"),
    ("raise RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED')", None, Outcome.OUT_OF_MEMORY, "memory"),
    ("from torch.utils.cpp_extension import load_inline\nload_inline('late', 'int f() { return 1; }', functions=['f'])",
     None, Outcome.COMPILE_ERROR, "built in forward: call load_inline at the module's top level"),
    ("return x.mul_(2)", None, Outcome.WRONG_VALUES, ""),
    ("return 'no tensor' if x is None else object()", None, Outcome.WRONG_SHAPE, "no result"),
]


@pytest.mark.parametrize(("forward", "head", "outcome", "words"), FAILURES, ids=[case[0][:30] for case in FAILURES])
async def test_each_failure_has_its_outcome(
    judge: Judge, small: TaskSource, device: Device, forward: str, head: str | None, outcome: Outcome, words: str
) -> None:
    verdict = await judged(judge, small, device, candidate(forward, **({"head": head} if head else {})))
    assert verdict.outcome is outcome, verdict
    assert words in verdict.feedback.summary + verdict.feedback.message


BROKEN = [
    ("def forward(:", "no module"),
    ("x = 1", "no class ModelNew"),
    (HEAD.replace("torch::empty_like(x)", "torch::empty_lik(x)"), "empty_lik"),
    (candidate("return x", head=LATE[0], init=LATE[1].replace("empty_like(x)", "empty_lik(x)")), "empty_lik"),
]


@pytest.mark.parametrize(("source", "words"), BROKEN, ids=["syntax", "no ModelNew", "C++", "C++ in the constructor"])
async def test_what_does_not_compile_is_told_before_a_device_is_needed(
    judge: Judge, small: TaskSource, source: str, words: str
) -> None:
    verdict = await judge.compile(small, source)
    assert isinstance(verdict, Judgement)
    assert verdict.outcome is Outcome.COMPILE_ERROR
    assert words in verdict.feedback.summary + verdict.feedback.message


async def test_a_second_compilation_comes_from_the_cache(judge: Judge, small: TaskSource) -> None:
    first = await judge.compile(small, HONEST)
    second = await judge.compile(small, HONEST + "\n# another source with the same extension\n")
    assert isinstance(first, Artefact) and isinstance(second, Artefact)
    assert list(first.extensions.values()) == list(second.extensions.values())
    assert CPP in HONEST.encode().decode("unicode_escape")


async def test_a_task_that_cannot_be_judged_by_is_rejected(judge: Judge, device: Device) -> None:
    constant = TaskSource(name="constant", source=(
        "import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return torch.ones(3)\n"
        "def get_inputs():\n    return [torch.randn(4)]\ndef get_init_inputs():\n    return []\n"
    ))
    verdict = await judged(judge, constant, device, EAGER)
    assert verdict.outcome is Outcome.REJECTED_TASK
    assert "does not depend" in verdict.feedback.summary


async def test_a_cancelled_call_kills_the_candidate_and_leaves_the_judge_usable(
    judge: Judge, small: TaskSource, device: Device
) -> None:
    artefact = await judge.compile(small, candidate("import time; time.sleep(60)"))
    assert isinstance(artefact, Artefact)
    call = asyncio.create_task(judge.validate(small, artefact, device))
    await asyncio.sleep(1.0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 10.0)
    verdict = await judged(judge, small, device, EAGER)
    assert verdict.outcome is Outcome.PASSED, verdict
