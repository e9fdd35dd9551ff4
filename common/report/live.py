"""The live view: on a terminal a table that is redrawn, elsewhere one line an event."""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from common.messages import Message
from common.report.lines import line_of
from common.report.watch import Watch

_REDRAWS_A_SECOND = 4
_LAST_LINES = 12


class View:
    def __init__(self, watch: Watch, console: Console) -> None:
        self._watch = watch
        self._console = console
        self._lines: list[str] = []

    def show(self, event: Message) -> None:
        tally = self._watch.tally
        line = line_of(event, tally.start.at) if tally else None
        if line is None:
            return
        self._lines = [*self._lines, line][-_LAST_LINES:]
        if not self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> Group:
        return Group(*[Text(line, no_wrap=True, overflow="ellipsis") for line in self._lines], self._table())

    def _table(self) -> Table:
        table = Table(show_header=False, expand=False)
        for name, value in self._rows():
            table.add_row(name, value)
        return table

    def _rows(self) -> Iterator[tuple[str, str]]:
        tally = self._watch.tally
        if tally is None:
            yield "run", "waiting for a generator"
            return
        yield "time", f"{time.time() - tally.start.at:.0f} s"
        yield "iteration", f"{len(tally.iteration_started)} of {tally.start.budget.iterations}"
        number = len(tally.iteration_started)
        open_ = {name.split(".")[1]: n for name, n in self._watch.streamed.items() if name.startswith(f"{number}.")}
        yield "tokens", ", ".join(f"{name} {n}" for name, n in open_.items()) or "–"
        outcomes: dict[str, int] = {}
        for counts in tally.candidates().values():
            for outcome, count in counts.items():
                outcomes[outcome] = outcomes.get(outcome, 0) + count
        yield "candidates", ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items()) or "–"
        best = tally.best()
        yield "best", f"{best['speedup']:.2f}x ({best['candidate']}, {best['origin']})" if best else "–"
        reasoning = sum(fields["reasoning_seconds"] for fields in tally.iterations())
        yield "where the time goes", f"reasoning {reasoning:.0f} s, judging {tally.judging_seconds():.0f} s"


@contextmanager
def live_view(watch: Watch) -> Iterator[View]:
    console = Console()
    view = View(watch, console)
    if not console.is_terminal:
        yield view
        return
    with Live(view, console=console, refresh_per_second=_REDRAWS_A_SECOND):
        yield view
