"""GPU kernels: a whole transfer is one launch, whatever the number of blocks and layers.

Triton compiles each once, at its first use (half a second, cached on disk by Triton): nothing is specialised for the
number of blocks, or a first load of every other length would wait for the compiler again.
"""
# mypy: ignore-errors
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(
    do_not_specialize=["items", "spans", "span"], do_not_specialize_on_alignment=["blocks", "pages", "sums"],
)
def copy_blocks(
    tile_address, tile_stride, tile_offset, tile_words, blocks, pages, sums, items, spans, span, tiles,
    LOAD: tl.constexpr, WORDS: tl.constexpr,
):
    """Copy `items // spans` blocks to (or, with LOAD, from) pages, and add up each block's checksum.

    A tile is a piece of at most WORDS 8-byte words of one region: `tile_address` where it is in the engine's block 0,
    `tile_stride` bytes from one block to the next, `tile_offset` bytes from the page's begin. An item is `span` of a
    block's `tiles` tiles, one after the other, so that the checksum stays in registers and is added up once an item.
    `blocks` are block numbers, `pages` addresses. Programs take items in turn, so their number bounds how much of the
    GPU a copy takes.
    """
    lanes = tl.arange(0, WORDS)
    for item in range(tl.program_id(0), items, tl.num_programs(0)):
        row = item // spans
        first = (item % spans) * span
        block = tl.load(blocks + row)
        begin = tl.load(pages + row)
        total = tl.zeros((WORDS,), dtype=tl.int64)
        for tile in range(first, min(first + span, tiles)):
            offset = tl.load(tile_offset + tile)
            engine = tl.load(tile_address + tile) + block * tl.load(tile_stride + tile)
            page = begin + offset
            # Words come in pairs, which only then are moved together: see `device.tile`.
            mask = lanes < tl.multiple_of(tl.load(tile_words + tile), 2)
            if LOAD:
                source, target = page, engine
            else:
                source, target = engine, page
            source = tl.multiple_of(source.to(tl.pointer_type(tl.int64)), 16)
            target = tl.multiple_of(target.to(tl.pointer_type(tl.int64)), 16)
            words = tl.load(source + lanes, mask=mask, other=0)
            tl.store(target + lanes, words, mask=mask)
            total += words * ((offset // 8 + lanes) * 2 + 1)
        tl.atomic_add(sums + row, tl.sum(total, axis=0))


@triton.jit(do_not_specialize=["count"], do_not_specialize_on_alignment=["pages", "tags", "sums"])
def seal(pages, tags, sums, payload, count, ROWS: tl.constexpr):
    """Write each page's trailer: tag, then checksum."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    mask = row < count
    trailer = (tl.load(pages + row, mask=mask, other=0) + payload).to(tl.pointer_type(tl.int64))
    tl.store(trailer, tl.load(tags + row, mask=mask), mask=mask)
    tl.store(trailer + 1, tl.load(sums + row, mask=mask), mask=mask)


@triton.jit(do_not_specialize=["count"], do_not_specialize_on_alignment=["pages", "tags", "sums", "good"])
def verify(pages, tags, sums, good, payload, count, ROWS: tl.constexpr):
    """Whether each page's trailer has the tag that was promised and the checksum of what was read."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    mask = row < count
    trailer = (tl.load(pages + row, mask=mask, other=0) + payload).to(tl.pointer_type(tl.int64))
    tag = tl.load(trailer, mask=mask, other=0)
    total = tl.load(trailer + 1, mask=mask, other=0)
    same = (tag == tl.load(tags + row, mask=mask, other=1)) & (total == tl.load(sums + row, mask=mask, other=1))
    tl.store(good + row, same.to(tl.int32), mask=mask)
