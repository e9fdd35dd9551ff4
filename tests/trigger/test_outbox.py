"""A full stream of requests ends no service, and what was asked for meanwhile is sent when there is room."""
from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.bus import Bus, BusSettings, Delivery, StreamFull
from common.messages import PREFIX, AbortRequest, ForkRequest, Message, Stage, StopRequest
from tests.servers import running_server
from tests.trigger.facts import Log, deltas
from trigger.service import Trigger
from trigger.settings import TriggerSettings


@pytest.fixture
async def full_bus(tmp_path: Path) -> AsyncIterator[Bus]:
    """With not a byte of room left for requests."""
    with running_server(BusSettings(state_dir=str(tmp_path), stream_mib={"cmd": 1})) as server:
        async with await Bus.connect("test", server.settings) as bus:
            size = 200_000
            while size > 1:
                try:
                    await bus.record(AbortRequest(run="filler", iteration=1, generation="g", at=0.0, reason="x" * size))
                except StreamFull:
                    size //= 2
            yield bus


async def read(*messages: Message) -> AsyncIterator[Delivery]:
    for message in messages:
        yield Delivery(message.subject(), message, 0, 0.0, caught_up=True, data=b"")


async def test_a_full_stream_is_waited_out(full_bus: Bus) -> None:
    trigger, log, over = Trigger(full_bus, TriggerSettings()), Log(), Log("over")
    await trigger.read_facts(read(log.started(), log.iteration(1), over.started(), over.iteration(1)))
    await trigger.read_tokens(read(*deltas("It is a sum.")))
    measured = [one.result(1, "c1", Stage.PROFILE, speedup=5.0) for one in (log, over)]
    await trigger.read_facts(read(*measured, over.iteration_ended(1)))
    await trigger.outbox.send_kept()
    await full_bus.purge(f"{PREFIX}.cmd.filler.>")
    await trigger.outbox.send_kept()
    await trigger.outbox.send_kept()
    found = [delivery.message for delivery in await full_bus.history(f"{PREFIX}.cmd.>")]
    assert [type(request) for request in found] == [ForkRequest, StopRequest]
    assert {request.run for request in found} == {"r1"}, "an iteration that is over needs no request"  # type: ignore[union-attr]
