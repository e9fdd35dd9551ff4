"""How a timed call keeps to the judge's clock: it waits for the word once all is unpacked, or is launched behind a gate
on the device; and it says at once when it is over, before it puts together what it returns."""
from __future__ import annotations

import socket
import time
from typing import Any

import torch

from common.judge.child.arena import Arena
from common.judge.device_memory import wait_for
from common.judge.protocol import Call, Ended, Go, Prepared, encode, order_decoder
from common.judge.wire import recv_frame_fds, send_frame


class Pace:
    """Of one call; of one that is not paced it only takes the time."""

    def __init__(self, inbox: socket.socket, order: Call, arena: Arena) -> None:
        self._inbox = inbox
        self._paced = order.paced
        self._gate = order.gate
        self._arena = arena

    def begin(self) -> None:
        """Wait for the word, or have the device wait. RuntimeError where another order comes instead."""
        if self._gate:
            wait_for(self._arena.bytes[self._gate.at :].data_ptr(), self._gate.value)
            self._opened = _event()
        elif self._paced:
            send_frame(self._inbox, encode(Prepared()))
            frame, _ = recv_frame_fds(self._inbox)
            if not isinstance(order_decoder.decode(frame), Go):
                raise RuntimeError("an order came where the word to go was due")
        self._began = time.perf_counter()

    def launched(self) -> None:
        """Everything is on its way to the device, which may not have begun."""
        if self._gate:
            send_frame(self._inbox, encode(Prepared()))

    def end(self) -> float:
        """Everything is over. Seconds it took by this process's own clock: the device's, behind a gate."""
        took, closed = time.perf_counter() - self._began, _event() if self._gate else None
        if self._paced:
            send_frame(self._inbox, encode(Ended()))
        if not closed:
            return took
        closed.synchronize()
        return 1e-3 * float(self._opened.elapsed_time(closed))


def _event() -> Any:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event
