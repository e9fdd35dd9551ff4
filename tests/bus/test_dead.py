"""`specgen dead`: listing, showing and sending again."""
from __future__ import annotations

import json

import pytest

from common.bus import Bus, Server
from common.commands import dead
from common.errors import UsageError
from tests.bus.messages import job, queues
from tests.bus.test_read import raw


async def bury(bus: Bus, run: str) -> int:
    """A rejected job; the number of its letter."""
    await bus.record(job(run, "c1"))
    async with bus.work(queues(run), durable=run, ack_wait=30) as work:
        task = await work.next(20)
        assert task is not None
        await task.reject("no compiler")
    letters = await dead.read(bus)
    (number,) = [n for n, (_, letter) in letters.items() if f".{run}." in letter.subject_was]
    return number


async def test_list_and_show(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    number = await bury(bus, "shown")
    letters = await dead.read(bus)
    assert dead.list_letters(letters, as_json=False) == 0
    assert f"{number}  " in (text := capsys.readouterr().out) and "no compiler" in text
    dead.list_letters(letters, as_json=True)
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert next(row for row in listed if row["number"] == number)["buried"]["message"]["candidate"] == "c1"
    dead.show_letter(*dead.chosen(letters, str(number)), as_json=False)
    shown = capsys.readouterr().out
    assert "type: Job" in shown and '"candidate": "c1"' in shown


async def test_retried_job_is_taken_again_and_its_letter_is_gone(bus: Bus) -> None:
    number = await bury(bus, "again")
    letters = await dead.read(bus)
    assert await dead.retry_letters(bus, [dead.chosen(letters, str(number))]) == 0
    assert number not in await dead.read(bus)
    async with bus.work(queues("again"), durable="again", ack_wait=30) as work:
        task = await work.next(20)
        assert task is not None and task.message == job("again", "c1")
        await task.done()


async def test_retry_that_cannot_be_sent_keeps_the_letter(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    number = await bury(bus, "occupied")
    await bus.record(job("occupied", "c1"))
    assert await dead.retry_letters(bus, [dead.chosen(await dead.read(bus), str(number))]) == 1
    assert "not sent" in capsys.readouterr().out
    assert number in await dead.read(bus)


async def test_letter_cut_short_is_not_sent(bus: Bus, nats_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    await raw(nats_server, "specgen.v1.evt.long.run.ended", b"\xc1" * 400_000)
    await bus.history("specgen.v1.evt.long.>")
    letters = await dead.read(bus)
    (entry,) = [entry for entry in letters.values() if ".long." in entry[1].subject_was]
    assert await dead.retry_letters(bus, [entry]) == 1
    assert "400000 bytes was not kept whole" in capsys.readouterr().out


async def test_unknown_number_is_refused(bus: Bus) -> None:
    for number in ("999999", "x", "-1"):
        with pytest.raises(UsageError, match="specgen dead list"):
            dead.chosen(await dead.read(bus), number)
