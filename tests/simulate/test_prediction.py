"""What the simulator says of a world that was also played by real processes on a real server.

`real.json` holds the measured figures: `python -m bench.elastic --real --json > tests/simulate/real.json`, on two
shared cores. The prediction is made anew.
"""
from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.elastic_real import WAYS, Real, compare
from bench.simulate.ways import play
from bench.simulate.workload import read

RECORDED = msgspec.json.decode(Path(__file__).with_name("real.json").read_bytes(), type=Real)
ERROR = 0.15
"""Of the makespan and of the candidates made: what docs/scheduling.md states."""


@pytest.mark.parametrize("way", WAYS)
def test_a_real_small_system_is_predicted(way: str) -> None:
    measured, predicted = RECORDED.ways[way].measured, play(way, RECORDED.world, read())
    assert predicted.seconds == pytest.approx(measured.seconds, rel=ERROR)
    assert predicted.candidates == pytest.approx(measured.candidates, rel=ERROR)
    assert predicted.iterations == RECORDED.world.runs * RECORDED.world.iterations
    assert predicted.busy == pytest.approx(measured.busy, rel=2 * ERROR)


def test_no_device_was_held_twice() -> None:
    assert [way.measured.overlaps for way in RECORDED.ways.values()] == [0] * len(WAYS)


@pytest.mark.soak
async def test_a_real_small_system_is_predicted_now(tmp_path: Path) -> None:
    """The same with a real system of this moment: on a busy machine it takes longer than predicted, never less."""
    real = await compare(tmp_path, RECORDED.world)
    for way in real.ways.values():
        assert way.measured.overlaps == 0
        assert way.predicted.candidates == pytest.approx(way.measured.candidates, rel=0.4)
