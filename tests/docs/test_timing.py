"""docs/timing.md names every step of a measurement that the record has seconds of."""
from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_step_is_named() -> None:
    lane = (ROOT / "common" / "judge" / "lane").glob("*.py")
    steps = {step for path in lane for step in re.findall(r'spent\.on\("(\w+)"\)', path.read_text())}
    [paragraph] = [text for text in (ROOT / "docs" / "timing.md").read_text().split("\n\n") if "(`spent`)" in text]
    assert len(steps) >= 15 and [step for step in sorted(steps) if f"`{step}`" not in paragraph] == []
