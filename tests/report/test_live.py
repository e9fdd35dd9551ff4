"""What the live view prints."""
from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from common.messages import GenerationStarted, RunEnded
from common.report.lines import line_of
from common.report.live import View
from common.report.tally import Tally
from tests.facts import Log


def test_a_fork_of_a_text_is_told_by_its_character() -> None:
    log = Log()
    log.iteration()
    log.record(GenerationStarted, iteration=1, generation="main", kind="main")
    fork = log.record(
        GenerationStarted, iteration=1, generation="f1", kind="fork", parent="main", at_char=812, reason="silence"
    )
    assert line_of(fork, log.now) == "    0.0s    fork f1 at character 812: silence"


class Watched:
    """Stands for a watch: a run that has started."""

    def __init__(self, log: Log) -> None:
        self.tally = Tally(log.facts[0])  # type: ignore[arg-type]


def test_a_line_is_printed_as_it_is() -> None:
    """The hundredth line of a source is no emoji."""
    log, printed = Log(), StringIO()
    log.now += 1.0
    watch: Any = Watched(log)
    View(watch, Console(file=printed, width=20)).show(
        log.record(RunEnded, reason="failed", cause="main.cpp:100:5: error: no [bold]x[/bold] in a::x::b")
    )
    assert printed.getvalue() == "    1.0s  run ended: failed main.cpp:100:5: error: no [bold]x[/bold] in a::x::b\n"
