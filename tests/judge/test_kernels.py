"""What Triton compiled goes with a source from the process that passed to the next; here a file stands for it."""
from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from common.devices import Device
from common.judge import Artefact, Judge, JudgeSettings
from common.judge.child import kernels
from common.messages import Judgement, Outcome, TaskSource
from tests.judge.sources import EAGER, candidate

_FOUND = "compiled before"
_COMPILES = f"""
import os, pathlib
kernel = pathlib.Path(os.environ["TRITON_CACHE_DIR"], "ABC", "kernel.cubin")
if kernel.exists():
    raise RuntimeError("{_FOUND} " + kernel.read_text())
kernel.parent.mkdir(parents=True)
kernel.write_text("for {{name}}")
"""


async def judged(judge: Judge, task: TaskSource, source: str, device: Device) -> tuple[Judgement, Judgement]:
    artefact = Artefact(source=source)
    return await judge.validate(task, artefact, device), await judge.profile(task, artefact, device)


async def test_the_next_process_of_a_source_that_passed_finds_what_was_compiled(
    judge_settings: JudgeSettings, tmp_path: Path, small: TaskSource, device: Device
) -> None:
    settings = msgspec.structs.replace(judge_settings, cache=str(tmp_path), time_seconds=0.2)
    sources = {name: _COMPILES.format(name=name) + EAGER for name in ("one", "other")}
    wrong = _COMPILES.format(name="wrong") + candidate("return x")
    async with Judge(settings, "cpu") as judge:
        for name, source in sources.items():
            verdict, profile = await judged(judge, small, source, device)
            assert verdict.outcome is Outcome.PASSED, verdict.feedback
            assert f"{_FOUND} for {name}" in profile.feedback.summary, "its own and nobody else's"
        for outcome in await judged(judge, small, wrong, device):
            assert outcome.outcome is Outcome.WRONG_VALUES, "of what did not pass nothing is kept"


def test_what_was_collected_is_placed_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"ABC/kernel.cubin": b"\x7fELF", "ABC/kernel.json": b"{}", "DEF/launcher.so": b""}
    kernels.place(tmp_path / "one", files)
    assert kernels.collect(tmp_path / "one") == files
    assert kernels.collect(tmp_path / "none") == {}
    monkeypatch.setattr(kernels, "_MOST", 5)
    assert kernels.collect(tmp_path / "one") == {}, "too large for a frame"
