"""One call by the judge's clock: of a whole call, or where the judge's copies are apart of what they surround alone."""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from common.judge.lane.spares import Spare
from common.judge.protocol import Done, Ended, Go, Prepared, encode
from common.judge.wire import send_frame

_LAUNCH_SECONDS = 0.25
"""For a series to be launched; it is over then, or waits for the device or for room among its launches."""
_WATCHED_SECONDS = 0.25
"""More than a window takes: from then on it is slept for the end."""
_GO = encode(Go())
Hear = Callable[[float, Any], Any]
"""The next answer before a deadline (TimeoutError), which has to be of this kind (CandidateEnded)."""


class Answered(NamedTuple):
    done: Done
    seconds: float
    """By the judge's clock, without `around`."""
    around: float = 0.0
    """The judge's own copies before and after, where they are timed apart."""
    launch: float = 0.0
    """From the order until all was launched, behind a gate."""
    ahead: bool = True
    """Not where the gate had to be opened before all was launched."""


class Clocked:
    """`ready` is run right before the clock, and before inputs are copied in."""

    def __init__(self, spare: Spare, arena: Any, hear: Hear, ready: Callable[[], None], deadline: float) -> None:
        self._spare = spare
        self._arena = arena
        self._hear = hear
        self._ready = ready
        self._deadline = deadline

    def whole(self, order: bytes, *, thaw: bool) -> Answered:
        """The clock runs from the order until the outputs are in the judge's hands."""
        self._ready()
        started = time.perf_counter()
        self._arena.deliver()
        if thaw:
            self._spare.thaw()
        self._send(order)
        done = self._hear(self._deadline, Done)
        self._arena.take()
        return Answered(done, time.perf_counter() - started)

    def paced(self, order: bytes) -> Answered:
        """The clock runs from the word to go until it is over.

        To wake the process, and to unpack the order and pack the answer, takes longer than many kernels: it is done
        before and after. What the process could do with inputs as they are copied in, or once it said that it is done,
        it would have to do on the device, in turn with those copies.
        """
        self._spare.thaw()
        self._send(order)
        self._hear(self._deadline, Prepared)
        before = self._deliver()
        started = time.perf_counter()
        self._send(_GO)
        return self._over(started, before)

    def gated(self, order: bytes) -> Answered:
        """The clock runs from the gate's opening until it is over.

        To launch a kernel takes the host longer than many run. So a series is launched first, behind a gate on the
        device, and what runs before the gate opens runs without its inputs. A call that waits for the device itself
        cannot be launched so: when its time is up the gate opens.
        """
        began = time.perf_counter()
        self._spare.thaw()
        self._send(order)
        ahead = self._launched()
        launch = time.perf_counter() - began
        before = self._deliver()
        started = time.perf_counter()
        self._arena.open()
        self._hear(self._deadline, Prepared)
        return self._over(started, before)._replace(launch=launch, ahead=ahead)

    def _send(self, frame: bytes) -> None:
        send_frame(self._spare.work, frame, deadline=self._deadline)

    def _launched(self) -> bool:
        """Whether there is an answer in time; a call that failed has one as well."""
        try:
            self._spare.wait_readable(min(self._deadline, time.monotonic() + _LAUNCH_SECONDS))
        except TimeoutError:
            return False
        return True

    def _deliver(self) -> float:
        """Seconds to copy the inputs in."""
        self._ready()
        started = time.perf_counter()
        self._arena.deliver()
        return time.perf_counter() - started

    def _over(self, started: float, before: float) -> Answered:
        """`before`: seconds of the judge's copies before the window."""
        self._spare.watch(_WATCHED_SECONDS)
        self._hear(self._deadline, Ended)
        over = time.perf_counter()
        self._arena.take()
        after = time.perf_counter() - over
        return Answered(self._hear(self._deadline, Done), over - started, before + after)
