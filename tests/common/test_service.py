"""How a service ends: one line for a person and an exit code, whoever inside it failed."""
from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from common import service
from common.background import background
from common.errors import SpecgenError, UsageError


@pytest.fixture(autouse=True)
def no_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(service, "configure", lambda name: None)
    yield


def run(monkeypatch: pytest.MonkeyPatch, error: Exception) -> int:
    """A service whose background task fails."""
    async def fail() -> None:
        raise error

    async def serve(name: str, body: object) -> None:
        async with background() as tasks:
            tasks.start(fail())
            await asyncio.sleep(600)

    monkeypatch.setattr(service, "_serve", serve)
    return service.run_service("x", lambda bus, stop: asyncio.sleep(0))


@pytest.mark.parametrize(("kind", "code"), [(UsageError, 2), (SpecgenError, 1)])
def test_an_error_of_a_background_task_is_one_line(
    kind: type[Exception], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, kind("set SPECGEN_X")) == code
    assert capsys.readouterr().err == "specgen x: set SPECGEN_X\n"


def test_a_bug_is_no_line_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExceptionGroup):
        run(monkeypatch, ValueError("a bug"))
