"""A worker's session with one pool: maps what it is offered, and unmaps at once what is revoked.

A thread of its own listens, so that an answer does not wait for the engine's step.
"""
from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import SpecgenError
from kvstore.address import BadAddress
from kvstore.engine.slots import Ints
from kvstore.line import Line, SessionRefused
from kvstore.memory import Mapping, MemoryFailed, Peer, make_peer
from kvstore.wire import FromEngine, FromService, Hello, Offer, Pause, Quiet, Read, Resume, Revoke, Unmapped, Wrote

log = logging.getLogger("vllm.kvstore")
_RETRY_SECONDS, _REFUSED_SECONDS = 0.5, 10.0
_UNTOLD = 64
"""Messages kept for the next session, of those that a session's beginning came too late for."""
_OFFER_SECONDS = 1.0
"""How long a chunk that was not offered yet is waited for."""


class Unavailable(Exception):
    """The chunk is not there: revoked, of a pool that is gone, or not to be copied now."""


class Mappings:
    """The chunks of one pool as this process has them mapped."""

    def __init__(self, path: Path, hello: Hello, context: int | None) -> None:
        """`context`: the CUDA context to map device memory into, see `kvstore.memory.context_here`."""
        self.name = path.stem
        self._context = context
        self._path = path
        self._hello = hello
        self._state = threading.Condition()
        self._chunks: dict[int, Mapping] = {}
        self._users: Counter[int] = Counter()
        self._revoked: set[int] = set()
        self._paused = False
        self._line: Line | None = None
        self._untold: deque[FromEngine] = deque(maxlen=_UNTOLD)
        self._peer: Peer | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kv-{self.name}", daemon=True)
        self._thread.start()

    # For the threads that copy

    @contextmanager
    def use(self, chunks: Iterable[int]) -> Iterator[dict[int, Mapping]]:
        """The chunks stay mapped for the block. Unavailable where they cannot be had."""
        wanted = set(chunks)
        with self._state:
            self._wait_for(wanted)
            self._users.update(wanted)
            found = {chunk: self._chunks[chunk] for chunk in wanted}
        try:
            yield found
        finally:
            del found
            with self._state:
                self._users.subtract(wanted)
                self._state.notify_all()

    def has(self, chunks: Iterable[int]) -> bool:
        """Whether `use` would not wait."""
        with self._state:
            return self._chunks.keys() >= set(chunks)

    @property
    def connected(self) -> bool:
        """Whether the pool has welcomed this worker."""
        return self._line is not None

    @property
    def maps(self) -> bool:
        """Whether its chunks are mapped into this process."""
        return self._peer is not None and self._peer.maps

    def wrote(self, handles: Ints, *, ok: bool) -> None:
        self._tell(Wrote(handles=handles.tobytes(), ok=ok))

    def read(self, handles: Ints, *, wrong: Ints) -> None:
        self._tell(Read(handles=handles.tobytes(), wrong=wrong.tobytes()))

    def close(self) -> None:
        """Unmap everything and end the session."""
        self._closing.set()
        with self._state:
            if self._line is not None:
                self._line.end()
        self._thread.join()

    def _wait_for(self, wanted: set[int]) -> None:
        end = time.monotonic() + _OFFER_SECONDS
        while not wanted <= self._chunks.keys() or self._paused:
            if self._paused or self._line is None or wanted & self._revoked:
                raise Unavailable(f"pool {self.name}: {'copies are paused' if self._paused else 'chunk revoked'}")
            if not self._state.wait(end - time.monotonic()):
                raise Unavailable(f"pool {self.name}: no such chunk among {sorted(wanted)}")

    def _tell(self, packet: FromEngine) -> None:
        """With a session the service forgets what it promised this engine: what can no longer be told it knows. But it
        counts a session a little earlier than we do, and what it promises then must be answered."""
        with self._state:
            line = self._line
            if line is None:
                self._untold.append(packet)
                return
        try:
            line.send(packet)
        except SpecgenError as error:
            log.debug("KV pool %s: %s", self.name, error)

    # The listening thread

    def _run(self) -> None:
        while not self._closing.is_set():
            self._closing.wait(self._session())

    def _session(self) -> float:
        """One session to its end; seconds until the next. Whatever ends it, there will be a next."""
        try:
            try:
                self._serve()
            finally:
                self._drop_all()
        except SessionRefused as error:
            log.error("KV pool %s refuses this worker: %s", self.name, error)
        except (MemoryFailed, BadAddress) as error:
            log.error("KV pool %s cannot be used: %s", self.name, error)
        except SpecgenError as error:
            log.debug("KV pool %s: %s", self.name, error)
            return _RETRY_SECONDS
        except Exception:
            log.exception("KV pool %s: the session broke", self.name)
        return _REFUSED_SECONDS

    def _serve(self) -> None:
        line = Line(self._path, self._hello, timeout=5.0)
        line.wait_without_limit()
        with self._state:
            self._line = line
            self._paused = False
            untold = list(self._untold)
            self._untold.clear()
        self._peer = make_peer(line.welcome.kind, self._context)
        for told in untold:
            line.send(told)
        while not self._closing.is_set():
            packet, descriptor = line.receive()
            try:
                self._handle(line, packet, descriptor)
            finally:
                if descriptor is not None:
                    os.close(descriptor)

    def _handle(self, line: Line, packet: FromService, descriptor: int | None) -> None:
        if isinstance(packet, Offer):
            self._map(line, packet, descriptor)
        elif isinstance(packet, Revoke):
            self._unmap(packet.chunks)
            line.send(Unmapped(chunks=packet.chunks))
        elif isinstance(packet, Pause):
            with self._state:
                self._paused = True
                self._state.notify_all()
                self._state.wait_for(lambda: not any(self._users.values()))
            line.send(Quiet())
        elif isinstance(packet, Resume):
            with self._state:
                self._paused = False

    def _map(self, line: Line, offer: Offer, descriptor: int | None) -> None:
        assert self._peer is not None
        mapping = self._peer.open(offer.token, descriptor, line.welcome.chunk_bytes, writable=self._hello.writes)
        with self._state:
            self._chunks[offer.chunk] = mapping
            self._state.notify_all()

    def _unmap(self, chunks: Iterable[int]) -> None:
        """No new use from now on; those under way are waited for."""
        with self._state:
            mappings = [(chunk, self._chunks.pop(chunk)) for chunk in chunks if chunk in self._chunks]
            self._revoked.update(chunk for chunk, _ in mappings)
            self._state.notify_all()
            for chunk, mapping in mappings:
                self._state.wait_for(lambda chunk=chunk: not self._users[chunk])  # type: ignore[misc]
                mapping.close()
                del self._users[chunk]

    def _drop_all(self) -> None:
        """The session is over: unmap, then let the service know by closing."""
        with self._state:
            line, self._line = self._line, None
            self._state.notify_all()
        try:
            self._unmap(list(self._chunks))
        finally:
            self._revoked.clear()
            if line is not None:
                line.close()
