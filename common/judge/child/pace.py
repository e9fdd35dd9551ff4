"""How a timed call keeps to the judge's clock: it waits for the word once all is unpacked, and says at once when it is
done, before it puts together what it returns."""
from __future__ import annotations

import socket

from common.judge.protocol import Ended, Go, Prepared, encode, order_decoder
from common.judge.wire import recv_frame_fds, send_frame


class Pace:
    """Of one call; without `paced` it neither waits nor says anything."""

    def __init__(self, inbox: socket.socket, paced: bool) -> None:
        self._inbox = inbox
        self._paced = paced

    def begin(self) -> None:
        """Wait for the word. RuntimeError where another order comes instead."""
        if self._paced:
            send_frame(self._inbox, encode(Prepared()))
            frame, _ = recv_frame_fds(self._inbox)
            if not isinstance(order_decoder.decode(frame), Go):
                raise RuntimeError("an order came where the word to go was due")

    def end(self) -> None:
        if self._paced:
            send_frame(self._inbox, encode(Ended()))
