"""Answers engines: joins the pool's rules with its memory and its sessions. No sockets and no clock in here."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hmac import compare_digest

from common.logs import get_logger
from kvstore import wire
from kvstore.geometry import Space
from kvstore.handles import pack, present
from kvstore.memory import Owner
from kvstore.memory.base import Segment
from kvstore.pool import Pool, Refused
from kvstore.wire import (
    Abandon,
    Ask,
    FromEngine,
    FromService,
    Handles,
    Hello,
    Offer,
    Packet,
    Pause,
    Pin,
    Quiet,
    Read,
    Refusal,
    Reserve,
    Resume,
    Revoke,
    State,
    Touch,
    Unmapped,
    Welcome,
    Wrote,
)

log = get_logger()
Send = Callable[[FromService, int | None], None]
"""Sends a packet with a descriptor, which it closes; never blocks and never fails."""


@dataclass(eq=False)
class Session:
    """One connection of an engine. `hello` is None until it has introduced itself, `over` once it was refused."""

    number: int
    send: Send
    hello: Hello | None = None
    token: str = ""
    """What its Hello has to bring; empty where the operating system says who it is."""
    over: bool = False
    quiet: bool = True
    """A worker that acknowledged the last pause, or was never told of one."""
    offered: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Unique in this service."""
        return f"{self.hello.engine}/{self.hello.role}-{self.number}" if self.hello else f"session-{self.number}"

    def reply(self, packet: FromService) -> None:
        self.send(packet, None)


class Desk:
    """Every method is called from one thread, none waits. `on_change` is called when a peer gave something up, or
    a space needs a chunk."""

    def __init__(self, device: str, pool: Pool, memory: Owner, on_change: Callable[[], None] = lambda: None) -> None:
        self.device = device
        self.pool = pool
        self.paused = False
        self._on_change = on_change
        self._memory = memory
        self._segments: dict[int, Segment] = {}
        self._sessions: set[Session] = set()
        self._barred: dict[str, str] = {}

    # Sessions

    def opened(self, session: Session) -> None:
        self._sessions.add(session)

    def closed(self, session: Session) -> None:
        """The peer's process has unmapped everything, or died, which is the same.

        A worker that is gone says no more what it wrote or read, so whatever its engine has under way is over. What the
        engine's other workers still copy finds its handles stale, or leaves a page that fits no tag.
        """
        self._sessions.discard(session)
        self.pool.gone(session.name)
        if session.hello is not None and session.hello.role == "worker":
            self.pool.directory(session.hello.space).forget(session.hello.engine)
        if session.hello is not None and not self._in_use(session.hello.space):
            self.pool.left(session.hello.space)
        self._on_change()

    def received(self, session: Session, data: bytes) -> None:
        """Handle one packet. One that makes no sense ends the session's rights, not the service."""
        if session.over:
            return
        try:
            self._handle(session, wire.from_engine(data))
        except (Refused, ValueError) as error:
            self.refuse(session, str(error))

    def refuse(self, session: Session, reason: str) -> None:
        log.warning("session.refused", session=session.name, reason=reason)
        session.over = True
        session.reply(Refusal(reason=reason))

    def workers(self) -> list[Session]:
        return [s for s in self._sessions if s.hello is not None and s.hello.role == "worker"]

    def blockers(self) -> str:
        """Who keeps revoked chunks or goes on copying, for the one that waits for it."""
        held = {name for chunk in self.pool.leaving() for name in self.pool.chunks[chunk].peers}
        loud = {s.name for s in self.workers() if not s.quiet} if self.paused else set()
        parts = [f"{names} {what}" for names, what in (
            (", ".join(sorted(held)), f"has not unmapped chunks {sorted(self.pool.leaving())}"),
            (", ".join(sorted(loud)), "still transfers"),
        ) if names]
        return "; ".join(parts)

    @property
    def quiet(self) -> bool:
        return all(session.quiet for session in self.workers())

    # Memory

    def grow(self) -> None:
        """Add a chunk; MemoryFailed where the device has no more."""
        segment = self._memory.allocate(self.pool.chunk_bytes)
        self._segments[self.pool.add()] = segment

    def shrink(self, chunks: int) -> list[int]:
        """Take chunks back, coldest first; those revoked now."""
        return self.revoke(self.pool.coldest(chunks))

    def to_share(self) -> int | None:
        """The chunk to give up for a space that finds no room, see `Pool.to_share`."""
        return self.pool.to_share([space for space in self.pool.directories() if self._in_use(space)])

    def revoke(self, chunks: list[int]) -> list[int]:
        taken = self.pool.revoke(chunks)
        self._tell_revoked(taken)
        return taken

    def release(self) -> list[int]:
        """Give back the memory of revoked chunks that nobody maps any more."""
        freed = self.pool.releasable()
        for chunk in freed:
            self._segments.pop(chunk).release()
            self.pool.remove(chunk)
        return freed

    def pause(self) -> None:
        """No worker may copy until `resume`; `quiet` tells when none does."""
        if not self.paused:
            self.paused = True
            for worker in self.workers():
                worker.quiet = False
                worker.reply(Pause())

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self.pool.epoch += 1
            for worker in self.workers():
                worker.quiet = True
                worker.reply(Resume())

    def end(self) -> None:
        """Give back everything; peers notice by their sessions' end."""
        for segment in self._segments.values():
            segment.release()
        self._segments.clear()

    # Packets

    def _handle(self, session: Session, packet: FromEngine) -> None:
        if isinstance(packet, Hello):
            self._hello(session, packet)
        elif session.hello is None:
            raise Refused("a session begins with Hello")
        elif session.hello.role == "manager":
            self._for_manager(session, session.hello, packet)
        else:
            self._for_worker(session, session.hello, packet)

    def _hello(self, session: Session, hello: Hello) -> None:
        if session.hello is not None:
            raise Refused("a session begins with one Hello")
        if session.token and not compare_digest(hello.token.encode(), session.token.encode()):
            raise Refused("another token than the service's: take the one of its token file")
        if hello.version != wire.VERSION:
            raise Refused(f"the engine speaks version {hello.version}, the service {wire.VERSION}: install one version")
        if not 0 <= hello.part < hello.geometry.parts:
            raise Refused(f"part {hello.part} of {hello.geometry.parts}")
        self._tell_revoked(self.pool.open(hello.space, hello.geometry, in_use=self._in_use(hello.space)))
        self._check_shape(hello)
        session.hello = hello
        session.reply(Welcome(
            device=self.device, kind=self._memory.kind, chunk_bytes=self.pool.chunk_bytes, epoch=self.pool.epoch,
        ))
        self._offer(hello.space)
        if self.paused and hello.role == "worker":
            session.quiet = False
            session.reply(Pause())
        log.info("session.opened", session=session.name, model=hello.space.model)

    def _check_shape(self, hello: Hello) -> None:
        """Equal sizes can hide another order of bytes: workers must agree on it, or their whole engine is refused."""
        if hello.role == "manager":
            if reason := self._barred.get(hello.engine):
                raise Refused(reason)
            return
        others = {w.hello.shape for w in self.workers() if w.hello is not None and w.hello.space == hello.space}
        if others and hello.shape not in others:
            reason = f"its blocks are put together as {hello.shape!r}, those of others as {others.pop()!r}"
            self._barred[hello.engine] = reason
            for session in self._of_engine(hello.engine):
                self.refuse(session, reason)
            raise Refused(reason)
        self._barred.pop(hello.engine, None)

    def _for_manager(self, session: Session, hello: Hello, packet: Packet) -> None:
        directory = self.pool.directory(hello.space)
        if isinstance(packet, Ask):
            count = directory.leading(packet.keys) if self._serves(hello) else 0
            session.reply(self._state(hello, count))
        elif isinstance(packet, Pin):
            found = directory.pin(hello.engine, packet.keys) if self._serves(hello) else [None] * len(packet.keys)
            session.reply(Handles(handles=pack(found), state=self._state(hello)))
        elif isinstance(packet, Reserve):
            self._reserve(session, hello, packet.keys)
        elif isinstance(packet, Touch):
            directory.touch(packet.keys)
        elif isinstance(packet, Abandon):
            if blocks := directory.abandon(hello.engine, packet.keys, pinned=packet.pinned):
                log.info("blocks.abandoned", session=session.name, blocks=blocks, pinned=packet.pinned)
        else:
            raise Refused(f"a manager sends no {type(packet).__name__}")

    def _reserve(self, session: Session, hello: Hello, keys: list[bytes]) -> None:
        directory, space = self.pool.directory(hello.space), hello.space
        serves = self._serves(hello)
        granted = dict(directory.reserve(hello.engine, keys, lambda: self.pool.more(space))) if serves else {}
        self._offer(space)
        short = not serves or not all(key in granted or directory.has(key) for key in keys)
        if self.to_share() is not None:
            self._on_change()
        handles = pack([granted.get(key) for key in keys])
        session.reply(Handles(handles=handles, state=self._state(hello), short=short))

    def _for_worker(self, session: Session, hello: Hello, packet: Packet) -> None:
        directory = self.pool.directory(hello.space)
        if isinstance(packet, Wrote):
            if refused := directory.finish(hello.engine, present(packet.handles), hello.part, packet.ok):
                log.info("blocks.stale", session=session.name, blocks=refused)
        elif isinstance(packet, Read):
            if spoilt := directory.spoil(present(packet.wrong)):
                log.warning("blocks.wrong", session=session.name, blocks=spoilt)
                self.pool.epoch += 1
            directory.unpin(hello.engine, present(packet.handles))
        elif isinstance(packet, Unmapped):
            self.pool.unmapped(session.name, packet.chunks)
            session.offered.difference_update(packet.chunks)
            self._on_change()
        elif isinstance(packet, Quiet):
            session.quiet = True
            self._on_change()
        else:
            raise Refused(f"a worker sends no {type(packet).__name__}")

    def _serves(self, hello: Hello) -> bool:
        """Whether the engine may be promised anything now: copies are not paused, and all its workers are here.

        One that cannot use this pool, or has lost its session, would leave what its engine was promised held for ever,
        and out of reach of others that store the same blocks.
        """
        here = [w.hello for w in self.workers() if w.hello is not None and not w.over]
        parts = {other.part for other in here if (other.engine, other.space) == (hello.engine, hello.space)}
        return not self.paused and len(parts) == hello.geometry.parts

    def _state(self, hello: Hello, count: int = 0) -> State:
        room = self.pool.directory(hello.space).room(len(self.pool.unused())) if self._serves(hello) else 0
        return State(epoch=self.pool.epoch, paused=self.paused, room=room, count=count)

    def _offer(self, space: Space) -> None:
        """Show every worker of the space the chunks it does not know."""
        for worker in self.workers():
            if worker.hello is not None and worker.hello.space == space and not worker.over:
                for chunk in self.pool.of(space):
                    if chunk not in worker.offered:
                        self._show(worker, chunk, writable=worker.hello.writes)

    def _show(self, worker: Session, chunk: int, *, writable: bool) -> None:
        token, descriptor = self._memory.export(self._segments[chunk], writable=writable)
        self.pool.mapped(worker.name, chunk)
        worker.offered.add(chunk)
        worker.send(Offer(chunk=chunk, token=token), descriptor)

    def _tell_revoked(self, chunks: list[int]) -> None:
        for worker in self.workers():
            theirs = [chunk for chunk in chunks if worker.name in self.pool.chunks[chunk].peers]
            if theirs:
                worker.reply(Revoke(chunks=theirs))

    def _in_use(self, space: Space) -> bool:
        return any(s.hello is not None and s.hello.space == space and not s.over for s in self._sessions)

    def _of_engine(self, engine: str) -> list[Session]:
        return [s for s in self._sessions if s.hello is not None and s.hello.engine == engine]

