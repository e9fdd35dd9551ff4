"""The pool's rules one by one."""
from __future__ import annotations

import itertools

import pytest

from kvstore.geometry import Geometry, Handle, Space
from kvstore.pool import Pool, Refused

GEOMETRY = Geometry(layout="l", dtype="bf16", tokens=16, payload=64)
MINE, THEIRS = Space(model="m"), Space(model="m", tenant="t")
A, B, C, D, E = (bytes([n]) for n in range(5))


def pool(chunks: int = 1, pages: int = 3, *spaces: Space) -> Pool:
    tags = itertools.count(1)
    made = Pool(pages * GEOMETRY.page_bytes, first=100, tag=lambda: next(tags))
    for space in spaces or (MINE,):
        made.open(space, GEOMETRY, in_use=False)
    for _ in range(chunks):
        made.add()
    return made


def put(into: Pool, *keys: bytes, space: Space = MINE) -> list[Handle]:
    directory = into.directory(space)
    granted = directory.reserve("w", keys, lambda: into.more(space))
    handles = [handle for _, handle in granted]
    directory.finish("w", handles, 0, True)
    return handles


def test_the_block_least_recently_used_goes_first() -> None:
    made = pool()
    put(made, A, B, C)
    made.directory(MINE).leading([A])
    put(made, D)
    assert made.directory(MINE).leading([A]) == 1
    assert made.directory(MINE).leading([B]) == 0


def test_of_a_prefix_the_end_goes_before_the_beginning() -> None:
    made = pool()
    put(made, A, B, C)
    made.directory(MINE).leading([A, B, C])
    put(made, D)
    assert made.directory(MINE).leading([A, B, C]) == 2


def test_a_pinned_block_stays_and_a_full_pool_stores_less() -> None:
    made = pool()
    put(made, A, B, C)
    assert all(made.directory(MINE).pin("r", [A, B]))
    assert len(put(made, D, E)) == 1
    assert made.directory(MINE).leading([A, B, C]) == 2


def test_a_pool_that_cannot_grow_is_asked_once_a_reservation() -> None:
    """Asking again for each block that evicts one made large reservations take longer than engines wait."""
    made = pool()
    put(made, A, B, C)
    asked: list[bool] = []

    def more() -> bool:
        asked.append(True)
        return False

    assert len(made.directory(MINE).reserve("w", [D, E], more)) == 2
    assert len(asked) == 1


def test_a_block_can_be_read_when_all_its_parts_are_written() -> None:
    two = Geometry(layout="l", dtype="bf16", tokens=16, payload=64, parts=2)
    made = Pool(two.page_bytes, first=1, tag=lambda: 7)
    made.open(MINE, two, in_use=False)
    made.add()
    directory = made.directory(MINE)
    ((_, handle),) = directory.reserve("w", [A], lambda: made.more(MINE))
    directory.finish("w", [handle], 0, True)
    assert directory.leading([A]) == 0
    directory.finish("w", [handle], 1, True)
    assert directory.leading([A]) == 1
    directory.pin("r", [A])
    directory.unpin("r", [handle])
    assert not directory.reserve("w", [B], lambda: made.more(MINE)), "one part is still being read"
    directory.unpin("r", [handle])
    assert directory.reserve("w", [B], lambda: made.more(MINE))


def test_what_an_engine_never_learnt_of_is_given_up() -> None:
    made = pool()
    (written,) = put(made, A)
    directory = made.directory(MINE)
    directory.reserve("w", [B], lambda: False)
    directory.reserve("x", [C], lambda: False)
    assert directory.abandon("w", [A, B, C, D], pinned=False) == 1, "A is written, C another's, D nowhere"
    assert directory.reserve("w", [B], lambda: False)
    directory.pin("w", [A])
    directory.pin("x", [A])
    assert directory.abandon("w", [A, B], pinned=True) == 1
    assert not directory.reserve("w", [D], lambda: False), "the other still reads it"
    directory.unpin("x", [written])
    assert directory.reserve("w", [D], lambda: False)


def test_stale_handles_are_refused() -> None:
    made = pool()
    (handle,) = put(made, A)
    directory = made.directory(MINE)
    assert directory.finish("w", [handle], 0, True) == 1, "written twice"
    assert directory.finish("w", [Handle(handle.chunk, handle.page, handle.tag + 1)], 0, True) == 1
    directory.unpin("r", [handle])
    assert directory.stale == 3
    assert directory.leading([A]) == 1


def test_a_page_that_was_wrong_is_not_given_again_and_is_free_when_its_readers_are_done() -> None:
    made = pool()
    (handle, *_) = put(made, A, B, C)
    directory = made.directory(MINE)
    directory.pin("r", [A])
    directory.pin("s", [A])
    assert directory.spoil([handle]) == 1
    assert directory.spoil([handle]) == 0
    assert directory.leading([A]) == 0
    assert directory.pin("t", [A]) == [None]
    directory.unpin("r", [handle])
    assert directory.has(A), "the other one still reads"
    directory.unpin("s", [handle])
    assert not directory.has(A)
    (again,) = put(made, A)
    assert again.tag != handle.tag


def test_only_the_writer_may_say_that_it_wrote() -> None:
    made = pool()
    ((_, handle),) = made.directory(MINE).reserve("w", [A], lambda: made.more(MINE))
    assert made.directory(MINE).finish("someone", [handle], 0, True) == 1
    assert made.directory(MINE).leading([A]) == 0


def test_what_a_dead_engine_was_writing_is_lost_and_its_pins_end() -> None:
    made = pool()
    put(made, A)
    directory = made.directory(MINE)
    directory.pin("dead", [A])
    directory.reserve("dead", [B], lambda: made.more(MINE))
    directory.forget("dead")
    assert directory.leading([B]) == 0
    assert len(put(made, B, C, D)) == 3


def test_a_revoked_chunk_is_gone_at_once_and_released_when_unmapped() -> None:
    made = pool()
    (handle,) = put(made, A)
    made.mapped("peer", handle.chunk)
    epoch = made.epoch
    assert made.revoke(made.coldest(1)) == [handle.chunk]
    assert made.directory(MINE).leading([A]) == 0
    assert made.epoch == epoch + 1
    assert made.releasable() == []
    with pytest.raises(ValueError, match="still in use"):
        made.remove(handle.chunk)
    made.unmapped("peer", [handle.chunk])
    assert made.releasable() == [handle.chunk]
    made.remove(handle.chunk)
    assert made.add() != handle.chunk, "a number is used once"


def test_a_peer_that_left_has_unmapped() -> None:
    made = pool()
    (handle,) = put(made, A)
    made.mapped("peer", handle.chunk)
    made.revoke([handle.chunk])
    made.gone("peer")
    assert made.releasable() == [handle.chunk]


def test_unused_and_cold_chunks_are_given_up_first() -> None:
    made = pool(3, 1)
    first, second = put(made, A, B)
    made.directory(MINE).pin("r", [A])
    made.directory(MINE).leading([B])
    unused = next(n for n in made.live() if n not in (first.chunk, second.chunk))
    assert made.coldest(3) == [unused, second.chunk, first.chunk]


def test_a_chunk_given_up_costs_the_end_of_a_prefix_and_not_its_beginning() -> None:
    """However it came to be used last: written, looked up or read."""
    keys = [A, B, C, D, E]
    for use in ("write", "look up", "read"):
        made = pool(3, 2)
        handles = put(made, *keys)
        directory = made.directory(MINE)
        if use == "look up":
            directory.leading(keys)
        elif use == "read":
            directory.pin("r", keys)
            directory.unpin("r", handles)
        assert made.coldest(3) == [handles[4].chunk, handles[2].chunk, handles[0].chunk], use
        made.revoke(made.coldest(1))
        assert directory.leading(keys) == 4, use


def test_tenants_never_share_a_chunk_and_a_new_one_gets_its_first() -> None:
    made = pool(2, 2, MINE, THEIRS)
    put(made, A, B, C)
    assert put(made, A, space=THEIRS) == []
    given_up = made.to_share((MINE, THEIRS))
    assert given_up is not None
    made.revoke([given_up])
    made.remove(given_up)
    made.add()
    (handle,) = put(made, A, space=THEIRS)
    assert made.of(THEIRS) == [handle.chunk]
    assert handle.chunk != given_up
    assert made.to_share((MINE, THEIRS)) is None


def test_who_asked_once_gets_one_chunk_and_the_other_keeps_the_rest() -> None:
    """Whether it comes for the new one or not."""
    made = pool(4, 1, MINE, THEIRS)
    put(made, A, B, C, D)
    put(made, A, space=THEIRS)
    given_up = made.to_share((MINE, THEIRS))
    assert given_up is not None
    made.revoke([given_up])
    made.add()
    assert made.to_share((MINE, THEIRS)) is None, "there is one for it"
    put(made, E)
    assert made.to_share((MINE, THEIRS)) is not None, "the other took it"
    made.left(THEIRS)
    assert made.to_share((MINE,)) is None, "nobody wants it any more"


def test_a_space_that_nobody_uses_gives_its_chunks_to_one_that_finds_no_room() -> None:
    made = pool(3, 1, MINE, THEIRS)
    put(made, A, B)
    (mine,) = put(made, C, space=THEIRS)
    assert made.to_share((MINE, THEIRS)) is None
    put(made, D, space=THEIRS)
    assert made.to_share((MINE, THEIRS)) is None, "it has one, the others are in use"
    for _ in range(2):
        given_up = made.to_share((THEIRS,))
        assert given_up in made.of(MINE)
        made.revoke([given_up])
    assert made.to_share((THEIRS,)) is None
    assert made.of(THEIRS) == [mine.chunk]


def test_another_geometry_is_refused_while_the_first_is_in_use() -> None:
    made = pool()
    put(made, A)
    other = Geometry(layout="l", dtype="bf16", tokens=32, payload=64)
    with pytest.raises(Refused, match="tokens 32 against 16"):
        made.open(MINE, other, in_use=True)
    assert made.directory(MINE).leading([A]) == 1
    assert len(made.open(MINE, other, in_use=False)) == 1
    assert made.directory(MINE).leading([A]) == 0


def test_a_page_larger_than_a_chunk_is_refused() -> None:
    big = Geometry(layout="l", dtype="bf16", tokens=16, payload=4096)
    with pytest.raises(Refused, match="CHUNK_MIB"):
        pool().open(MINE, big, in_use=False)


@pytest.mark.parametrize("payload", [0, -8, 12])
def test_a_payload_that_cannot_be_summed_is_refused(payload: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        Geometry(layout="l", dtype="bf16", tokens=16, payload=payload)
