"""The live view: one line an event, and on a terminal below them a table that is redrawn."""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from common.messages import Message
from common.report.ledger import Ledger, ledger
from common.report.lines import line_of
from common.report.tally import Tally
from common.report.watch import Watch

_REDRAWS_A_SECOND = 4


class View:
    def __init__(self, watch: Watch, console: Console) -> None:
        self._watch = watch
        self._console = console

    def show(self, event: Message) -> None:
        tally = self._watch.tally
        line = line_of(event, tally.start.at) if tally else None
        if line is not None:
            self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> Table:
        table = Table(show_header=False, expand=False)
        for name, value in self._rows():
            table.add_row(name, value)
        return table

    def _rows(self) -> Iterator[tuple[str, str]]:
        tally = self._watch.tally
        if tally is None:
            yield "run", "waiting for a generator"
            return
        tally.last_at = max(tally.last_at, time.time())  # so that what is open grows between events
        yield "time", f"{time.time() - tally.start.at:.0f} s"
        yield "iteration", f"{len(tally.iteration_started)} of {tally.start.budget.iterations}"
        number = len(tally.iteration_started)
        open_ = {name.split(".")[1]: n for name, n in self._watch.streamed.items() if name.startswith(f"{number}.")}
        yield "tokens", ", ".join(f"{name} {n}" for name, n in open_.items()) or "–"
        yield "candidates", ", ".join(f"{n} {what}" for what, n in _candidates(tally).items()) or "–"
        spent = ledger(tally)
        saved = "" if spent.saved_tokens is None else f", about {spent.saved_tokens} saved by stopping"
        forks = f"forks {spent.used.tokens} of use, {spent.wasted.tokens} for nothing"
        yield "tokens spent", f"main {spent.main.tokens}, {forks}{saved}"
        yield "first", _firsts(spent)
        best = tally.best()
        yield "best", f"{best['speedup']:.2f}x ({best['candidate']}, {best['origin']})" if best else "–"
        reasoning = sum(fields["reasoning_seconds"] for fields in tally.iterations())
        yield "where the time goes", f"reasoning {reasoning:.0f} s, judging {tally.judging_seconds():.0f} s"


def _candidates(tally: Tally) -> Counter[str]:
    """By what became of them so far."""
    settled = tally.settled
    fates = (settled[name].outcome or settled[name].fate if name in settled else "under way" for name in tally.proposed)
    return Counter(map(str, fates))


def _firsts(spent: Ledger) -> str:
    times = (("candidate", spent.first_candidate_seconds), ("valid", spent.first_valid_seconds),
             ("best", spent.best_seconds))
    return ", ".join(f"{name} after {seconds:.1f} s" for name, seconds in times if seconds is not None) or "–"


@contextmanager
def live_view(watch: Watch) -> Iterator[View]:
    console = Console()
    view = View(watch, console)
    if not console.is_terminal:
        yield view
        return
    with Live(view, console=console, refresh_per_second=_REDRAWS_A_SECOND):
        yield view
