"""The blocks of one space: which page holds which, who uses it, which goes first. Pure; pages are never copied here."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kvstore.geometry import Geometry, Handle


@dataclass(slots=True)
class Page:
    """A page that holds a block or is being written."""

    key: bytes
    handle: Handle
    writer: str
    missing: set[int]
    """Parts not written yet; the block can be read when none is left."""
    failed: bool = False
    pins: dict[str, int] = field(default_factory=dict)
    """Reads under way, by engine."""

    @property
    def ready(self) -> bool:
        return not self.missing and not self.failed


class Directory:
    """LRU over pages that are ready and unpinned. Keys of a prefix are given in order, first block first."""

    def __init__(self, geometry: Geometry, chunk_bytes: int, tag: Callable[[], int]) -> None:
        self.geometry = geometry
        self.evicted = 0
        self.stale = 0
        self._per_chunk = chunk_bytes // geometry.page_bytes
        self._tag = tag
        self._blocks: dict[bytes, Page] = {}
        self._places: dict[tuple[int, int], Page] = {}
        self._idle: OrderedDict[bytes, Page] = OrderedDict()
        self._free: dict[int, list[int]] = {}
        """Pages without a block, of the chunks that have some."""
        self._held: dict[str, set[tuple[int, int]]] = {}
        self._used_at: dict[int, int] = {}
        self._clock = 0

    # Chunks

    def add(self, chunk: int) -> None:
        self._free[chunk] = list(range(self._per_chunk - 1, -1, -1))
        self._used_at[chunk] = self._clock

    def drop(self, chunk: int) -> int:
        """Forget a chunk and every block in it, read or written at this moment or not; how many could be read."""
        del self._used_at[chunk]
        self._free.pop(chunk, None)
        pages = [page for page in range(self._per_chunk) if (chunk, page) in self._places]
        return sum(self._remove(self._places[chunk, page]) for page in pages)

    def chunks(self) -> list[int]:
        """Coldest first: chunks nobody reads or writes before others, then by last use."""
        busy = {chunk for places in self._held.values() for chunk, _ in places}
        return sorted(self._used_at, key=lambda chunk: (chunk in busy, self._used_at[chunk], chunk))

    @property
    def size(self) -> int:
        """Chunks. Asked for each block that evicts another, unlike their order."""
        return len(self._used_at)

    def blocks(self) -> int:
        """Blocks that can be read."""
        return sum(page.ready for page in self._blocks.values())

    def room(self, chunks: int) -> int:
        """Blocks that could be stored with `chunks` more without evicting one."""
        return sum(map(len, self._free.values())) + chunks * self._per_chunk

    def has(self, key: bytes) -> bool:
        """Whether the block is there or being written."""
        return key in self._blocks

    # Reading

    def leading(self, keys: Sequence[bytes]) -> int:
        """How many of the first keys can be read. They become the most recently used, the first of all."""
        pages = map(self._blocks.get, keys)
        count = next((n for n, page in enumerate(pages) if page is None or not page.ready), len(keys))
        self.touch(keys[:count])
        return count

    def touch(self, keys: Sequence[bytes]) -> None:
        """Mark as used, so that of a prefix the end goes before the beginning, page by page and chunk by chunk."""
        blocks, idle = self._blocks, self._idle
        for key in reversed(keys):
            if (page := blocks.get(key)) is not None:
                self._use(page.handle.chunk)
                if key in idle:
                    idle.move_to_end(key)

    def pin(self, engine: str, keys: Iterable[bytes]) -> list[Handle | None]:
        """Protect blocks while every part of each is read; None for those that are not there (any more)."""
        pages = [page if page is not None and page.ready else None for page in map(self._blocks.get, keys)]
        parts, idle = self.geometry.parts, self._idle
        for page in pages:
            if page is not None:
                page.pins[engine] = page.pins.get(engine, 0) + parts
                idle.pop(page.key, None)
        self._hold(engine, [page for page in pages if page is not None])
        return [None if page is None else page.handle for page in pages]

    def unpin(self, engine: str, handles: Iterable[Handle]) -> None:
        """One part of each was read. Handles of what was taken away meanwhile are counted as stale."""
        for handle in handles:
            page = self._find(handle)
            if page is None or engine not in page.pins:
                self.stale += 1
                continue
            page.pins[engine] -= 1
            if not page.pins[engine]:
                del page.pins[engine]
                self._let_go(engine, page)

    def spoil(self, handles: Iterable[Handle]) -> int:
        """A reader found something else in these pages than was promised: nobody gets them again; how many."""
        found = [page for handle in handles if (page := self._find(handle)) is not None and page.ready]
        for page in found:
            page.failed = True
            if not page.pins:
                self._give_up(page)
        return len(found)

    # Writing

    def reserve(self, engine: str, keys: Iterable[bytes], more: Callable[[], bool]) -> list[tuple[bytes, Handle]]:
        """Pages to write the blocks to that are not there yet, as far as there is room; the rest is left out.

        `more` adds a chunk where it can and says whether it did; once it did not, the block least recently used goes.
        """
        granted: list[tuple[bytes, Handle]] = []
        pages: list[Page] = []
        growing = True
        for key in keys:
            if key in self._blocks:
                continue
            growing = growing and (bool(self._free) or more())
            place = self._pop_free() or self._evict()
            if place is None:
                break
            page = self._write(engine, key, place)
            pages.append(page)
            granted.append((key, page.handle))
        self._hold(engine, pages)
        return granted

    def finish(self, engine: str, handles: Iterable[Handle], part: int, ok: bool) -> int:
        """One part of each page was written, or could not be; how many handles were refused as stale."""
        return sum(not self._finish(engine, handle, part, ok) for handle in handles)

    def abandon(self, engine: str, keys: Iterable[bytes], *, pinned: bool) -> int:
        """The engine never learnt of the pages reserved, or the pins made, for these blocks last; how many end.

        One that does write or read such a page, for another request, finds its handle stale or the tag changed.
        """
        pages = [page for key in keys if (page := self._blocks.get(key)) is not None]
        if pinned:
            theirs = [page for page in pages if engine in page.pins]
            for page in theirs:
                self.unpin(engine, [page.handle] * min(page.pins[engine], self.geometry.parts))
        else:
            theirs = [page for page in pages if page.writer == engine and len(page.missing) == self.geometry.parts]
            for page in theirs:
                self._give_up(page)
        return len(theirs)

    def forget(self, engine: str) -> None:
        """The engine is gone: its reads are over, what it was writing is lost."""
        for place in self._held.pop(engine, set()):
            page = self._places[place]
            page.pins.pop(engine, None)
            if (page.writer == engine and page.missing) or (page.failed and not page.pins):
                self._give_up(page)
            else:
                self._rest(page)

    def _pop_free(self) -> tuple[int, int] | None:
        if not self._free:
            return None
        chunk, pages = next(iter(self._free.items()))
        place = (chunk, pages.pop())
        if not pages:
            del self._free[chunk]
        return place

    def _evict(self) -> tuple[int, int] | None:
        """The page of the block least recently used, which is forgotten; None where all are in use."""
        if not self._idle:
            return None
        _, page = self._idle.popitem(last=False)
        self._remove(page)
        self.evicted += 1
        return (page.handle.chunk, page.handle.page)

    def _write(self, engine: str, key: bytes, place: tuple[int, int]) -> Page:
        page = Page(key, Handle(*place, self._tag()), engine, missing=set(range(self.geometry.parts)))
        self._blocks[key] = self._places[place] = page
        return page

    def _finish(self, engine: str, handle: Handle, part: int, ok: bool) -> bool:
        page = self._find(handle)
        if page is None or page.writer != engine or part not in page.missing:
            self.stale += 1
            return False
        page.missing.discard(part)
        page.failed = page.failed or not ok
        if not page.missing:
            self._let_go(engine, page)
        return True

    # Common

    def _find(self, handle: Handle) -> Page | None:
        page = self._places.get((handle.chunk, handle.page))
        return page if page is not None and page.handle == handle else None

    def _hold(self, engine: str, pages: Sequence[Page]) -> None:
        """The engine reads or writes these pages of a prefix, whose beginning counts as used last."""
        self._held.setdefault(engine, set()).update(page.handle[:2] for page in pages)
        for page in reversed(pages):
            self._use(page.handle.chunk)

    def _use(self, chunk: int) -> None:
        self._clock += 1
        self._used_at[chunk] = self._clock

    def _let_go(self, engine: str, page: Page) -> None:
        """The engine neither reads nor writes the page any more."""
        self._held[engine].discard((page.handle.chunk, page.handle.page))
        if page.failed and not page.pins and not page.missing:
            self._give_up(page)
        else:
            self._rest(page)

    def _give_up(self, page: Page) -> None:
        self._remove(page)
        self._free.setdefault(page.handle.chunk, []).append(page.handle.page)

    def _rest(self, page: Page) -> None:
        if page.ready and not page.pins:
            self._idle[page.key] = page

    def _remove(self, page: Page) -> bool:
        """Forget a page, whatever it is used for; whether it could be read."""
        place = (page.handle.chunk, page.handle.page)
        del self._blocks[page.key], self._places[place]
        self._idle.pop(page.key, None)
        for engine in {page.writer, *page.pins}:
            self._held.get(engine, set()).discard(place)
        return page.ready
