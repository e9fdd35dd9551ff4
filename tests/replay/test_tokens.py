from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.replay.cache import BLOCK, PrefixCache
from generator.replay.tokens import CLOSING, OPENING, decode, encode, render

PARTS = st.sampled_from([OPENING, CLOSING, "<|user|>", "<", "thi", "nk>", "\0", "\n", "ü", "漢", "🙂", "abcd", " "])


@given(st.lists(PARTS | st.text(max_size=9), max_size=20))
def test_decoding_reverses_encoding(parts: list[str]) -> None:
    text = "".join(parts)
    ids = encode(text)
    assert decode(ids) == text
    assert all(0 <= i < 2**31 for i in ids)


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 30))
def test_lists_of_tokens_decode_piece_by_piece(one: str, two: str, cut: int) -> None:
    ids = encode(one) + encode(two)
    assert decode(ids) == one + two
    assert decode(ids[:cut]) + decode(ids[cut:]) == one + two


def test_sizes_and_specials() -> None:
    assert len(encode("a" * 400)) == 100
    assert len(encode(f"ab{CLOSING}cd")) == 3
    assert encode("aaab") != encode("aaa") != encode("\0aaa")


@pytest.mark.parametrize("token", [-1, 6, 6 + 129, (1 << 29) - 1, (1 << 29) + 0x110000])
def test_ids_of_others_are_refused(token: int) -> None:
    with pytest.raises(ValueError, match=r"no token|not in range"):
        decode([token])


def test_the_template() -> None:
    assert render([("user", "Q")], open_turn=True) == "<|user|>\nQ<|end|>\n<|assistant|>\n<think>\n"
    assert render([("user", "Q"), ("assistant", "A")], open_turn=False) == "<|user|>\nQ<|end|>\n<|assistant|>\nA"


def test_full_blocks_are_cached_with_everything_before_them() -> None:
    cache = PrefixCache()
    held = cache.sequence(range(BLOCK + 5))
    assert cache.cached(range(100)) == BLOCK
    held.add(range(BLOCK + 5, 2 * BLOCK))
    assert cache.cached(range(100)) == 2 * BLOCK
    assert cache.cached(range(2 * BLOCK)) == BLOCK, "the last token is always computed"
    assert cache.cached([9, *range(100)]) == 0
    assert cache.cached(range(1, 100)) == 0


def test_the_cache_forgets_the_oldest() -> None:
    cache = PrefixCache(limit=2)
    cache.sequence(range(3 * BLOCK))
    assert cache.cached(range(100)) == 0
