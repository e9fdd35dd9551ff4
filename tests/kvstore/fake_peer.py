"""The desk's two sides without sockets and without memory."""
from __future__ import annotations

from dataclasses import dataclass

from kvstore.desk import Desk, Session
from kvstore.geometry import Handle
from kvstore.handles import present
from kvstore.memory import MemoryFailed
from kvstore.memory.base import Segment
from kvstore.wire import Ask, FromService, Handles, Pin, Read, Reserve, Role, State, Unmapped, Wrote, encode
from tests.kvstore.service import hello

KEYS = [bytes([n]) * 36 for n in range(4)]


class Peer:
    """A session, and what it was sent."""

    def __init__(self, desk: Desk, number: int, role: Role, engine: str = "e", **changes: object) -> None:
        self.sent: list[FromService] = []
        self.session = Session(number, lambda packet, _: self.sent.append(packet))
        self._desk = desk
        desk.opened(self.session)
        desk.received(self.session, encode(hello(role, engine, **changes)))

    def tell(self, packet: Ask | Pin | Reserve | Wrote | Read | Unmapped) -> FromService:
        self._desk.received(self.session, encode(packet))
        return self.sent[-1]

    def handles(self, packet: Pin | Reserve) -> list[Handle]:
        answer = self.tell(packet)
        assert isinstance(answer, Handles)
        return present(answer.handles)

    def found(self) -> int:
        answer = self.tell(Ask(keys=KEYS))
        assert isinstance(answer, State)
        return answer.count

    def leave(self) -> None:
        self._desk.closed(self.session)


@dataclass
class FakeSegment:
    size: int
    memory: FakeMemory

    def release(self) -> None:
        self.memory.left += self.size


class FakeMemory:
    """A device with so many bytes, which nobody is shown. Making a chunk takes `seconds` of `clock`."""

    kind = "shm"

    def __init__(self, size: int, seconds: float = 0.0) -> None:
        self.size = self.left = size
        self.seconds = seconds
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def round_up(self, size: int) -> int:
        return size

    def allocate(self, size: int) -> FakeSegment:
        if size > self.left:
            raise MemoryFailed(f"{self.left} bytes are left")
        self.now += self.seconds
        self.left -= size
        return FakeSegment(size, self)

    def export(self, segment: Segment, *, writable: bool) -> tuple[bytes, None]:
        return b"", None

    def free(self) -> int:
        return self.left

    def total(self) -> int:
        return self.size
