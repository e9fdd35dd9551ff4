"""Random puts, gets, evictions, deaths and revocations against a model of the memory: never a wrong block."""
from __future__ import annotations

import itertools
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kvstore.geometry import Geometry, Handle, Space
from kvstore.pool import Chunk, Pool

SPACES = (Space(model="m"), Space(model="m", tenant="other"))
ENGINES = ("a", "b", "c")
PAGES = 4
NOBODY = Chunk()
BLOCKS = st.lists(st.integers(0, 11), min_size=1, max_size=6, unique=True).map(sorted)


def content(space: Space, key: bytes, part: int) -> tuple[str, bytes, int]:
    return (space.tenant, key, part)


@dataclass
class Transfer:
    engine: str
    space: Space
    key: bytes
    handle: Handle
    part: int
    protected: bool = True
    """Not once the pool forgot the engine while it copies."""


class PoolMachine(RuleBasedStateMachine):
    """`memory` is what the chunks hold: (chunk, page, part) -> (tag, content), which outlives the pool's knowledge."""

    @initialize(parts=st.integers(1, 2), chunks=st.integers(1, 3))
    def start(self, parts: int, chunks: int) -> None:
        self.geometry = Geometry(layout="l", dtype="f", tokens=16, payload=64, parts=parts)
        tags = itertools.count(1)
        self.pool = Pool(PAGES * self.geometry.page_bytes, first=1, tag=lambda: next(tags))
        for space in SPACES:
            self.pool.open(space, self.geometry, in_use=False)
        for _ in range(chunks):
            self.pool.add()
        self.memory: dict[tuple[int, int, int], tuple[int, tuple[str, bytes, int]]] = {}
        self.reads: list[Transfer] = []
        self.writes: list[Transfer] = []
        self.owner: dict[int, Space] = {}
        self.overwritten: set[tuple[int, int, int]] = set()

    def keys(self, numbers: list[int]) -> list[bytes]:
        return [bytes([number]) for number in numbers]

    @rule(engine=st.sampled_from(ENGINES), space=st.sampled_from(SPACES), numbers=BLOCKS)
    def reserve(self, engine: str, space: Space, numbers: list[int]) -> None:
        directory = self.pool.directory(space)
        for key, handle in directory.reserve(engine, self.keys(numbers), lambda: self.pool.more(space)):
            assert self.owner.setdefault(handle.chunk, space) == space, "a chunk changed its space"
            assert not self.pool.chunks[handle.chunk].leaving
            self.pool.mapped(engine, handle.chunk)
            for part in range(self.geometry.parts):
                self.writes.append(Transfer(engine, space, key, handle, part))

    @precondition(lambda self: self.writes)
    @rule(data=st.data(), ok=st.booleans() | st.just(True))
    def write(self, data: st.DataObject, ok: bool) -> None:
        """A writer copies, whatever the pool did meanwhile; an aborted one leaves rubbish behind."""
        transfer = self.writes.pop(data.draw(st.integers(0, len(self.writes) - 1)))
        place = (transfer.handle.chunk, transfer.handle.page, transfer.part)
        if transfer.engine in self.pool.chunks.get(transfer.handle.chunk, NOBODY).peers:
            real = content(transfer.space, transfer.key, transfer.part)
            self.memory[place] = (transfer.handle.tag, real if ok else ("rubbish", b"", 0))
            (self.overwritten.discard if transfer.protected else self.overwritten.add)(place)
        self.pool.directory(transfer.space).finish(transfer.engine, [transfer.handle], transfer.part, ok)

    @rule(engine=st.sampled_from(ENGINES), space=st.sampled_from(SPACES), numbers=BLOCKS)
    def pin(self, engine: str, space: Space, numbers: list[int]) -> None:
        keys, directory = self.keys(numbers), self.pool.directory(space)
        count = directory.leading(keys)
        handles = directory.pin(engine, keys)
        assert all(handles[:count])
        for key, handle in zip(keys, handles, strict=True):
            if handle is not None:
                self.pool.mapped(engine, handle.chunk)
                for part in range(self.geometry.parts):
                    self.reads.append(Transfer(engine, space, key, handle, part))

    @precondition(lambda self: self.reads)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        """What a reader accepts by the tag is what was stored under the key in its space."""
        transfer = self.reads.pop(data.draw(st.integers(0, len(self.reads) - 1)))
        place = (transfer.handle.chunk, transfer.handle.page, transfer.part)
        if transfer.engine in self.pool.chunks.get(transfer.handle.chunk, NOBODY).peers:
            tag, found = self.memory[place]
            safe = transfer.protected and place not in self.overwritten
            if safe and not self.pool.chunks[transfer.handle.chunk].leaving:
                assert tag == transfer.handle.tag, "a pinned page was given to another writer"
            assert tag != transfer.handle.tag or found == content(transfer.space, transfer.key, transfer.part)
        self.pool.directory(transfer.space).unpin(transfer.engine, [transfer.handle])
        if not transfer.protected:
            self.unprotect(transfer.engine, transfer.handle)

    @precondition(lambda self: self.reads)
    @rule(data=st.data())
    def spoil(self, data: st.DataObject) -> None:
        """A reader says that a page is wrong: whoever asks next does not get it."""
        transfer = data.draw(st.sampled_from(self.reads))
        directory = self.pool.directory(transfer.space)
        if directory.spoil([transfer.handle]):
            assert directory.leading([transfer.key]) == 0

    @rule(engine=st.sampled_from(ENGINES))
    def die(self, engine: str) -> None:
        self.reads = [t for t in self.reads if t.engine != engine]
        self.writes = [t for t in self.writes if t.engine != engine]
        for directory in self.pool.directories().values():
            directory.forget(engine)
        self.pool.gone(engine)

    @rule(engine=st.sampled_from(ENGINES))
    def lose_worker(self, engine: str) -> None:
        """Another worker of the engine goes on with what the pool has forgotten."""
        for directory in self.pool.directories().values():
            directory.forget(engine)
        self.unprotect(engine)

    def unprotect(self, engine: str, handle: Handle | None = None) -> None:
        """A read that was forgotten ends another of the same page, when it is reported."""
        for transfer in self.reads + self.writes:
            if transfer.engine == engine and handle in (None, transfer.handle):
                transfer.protected = False

    @rule(count=st.integers(1, 2))
    def shrink(self, count: int) -> None:
        self.pool.revoke(self.pool.coldest(count))

    @rule(engine=st.sampled_from(ENGINES))
    def acknowledge(self, engine: str) -> None:
        self.pool.unmapped(engine, self.pool.leaving())

    @rule()
    def release(self) -> None:
        for chunk in self.pool.releasable():
            self.pool.remove(chunk)
            self.memory = {place: value for place, value in self.memory.items() if place[0] != chunk}

    @precondition(lambda self: len(self.pool.chunks) < 4)
    @rule()
    def grow(self) -> None:
        self.pool.add()

    @precondition(lambda self: not self.pool.leaving())
    @rule(in_use=st.sets(st.sampled_from(SPACES)))
    def share(self, in_use: set[Space]) -> None:
        if (chunk := self.pool.to_share(in_use)) is not None:
            assert not self.pool.unused()
            self.pool.revoke([chunk])

    @invariant()
    def pages_add_up(self) -> None:
        for space, directory in self.pool.directories().items():
            live = self.pool.of(space)
            assert sorted(directory.chunks()) == sorted(live)
            free = sum(map(len, directory._free.values()))
            assert free + len(directory._places) == PAGES * len(live)
            assert len(directory._blocks) == len(directory._places)
            for page in directory._places.values():
                assert page.ready == (page.key in directory._idle) or page.pins
                assert page.ready or page.pins or page.missing


PoolMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestPool = PoolMachine.TestCase
