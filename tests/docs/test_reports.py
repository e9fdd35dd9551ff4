"""docs/reports.md explains every part of a report, every outcome, every fate and every end of an iteration."""
from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from common.messages import IterationEnded, Outcome
from common.messages.facts import Fate
from docs.generate.declared import declared

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reports.md").read_text()


def test_every_part_is_a_heading_or_named_in_one() -> None:
    written = "".join((ROOT / "common" / "report" / name).read_text() for name in ("page.py", "evidence.py"))
    parts = re.findall(r'"## ([^"]+)"', written)
    assert len(parts) >= 8
    assert [part for part in parts if f"\n## {part}\n" not in PAGE and f"*{part}*" not in PAGE] == []


def test_every_word_of_a_table_is_explained() -> None:
    [reason] = [field for field in declared(IterationEnded).fields if field.name == "reason"]
    ends = re.findall(r"`(\w+)`", reason.text)
    assert len(ends) >= 7
    words = [*Outcome, *get_args(Fate), *ends]
    assert [word for word in words if not re.search(rf"`{word}\b", PAGE)] == []
