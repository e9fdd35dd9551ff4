"""Nested values to leaves and back."""
from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.judge.check.structure import flatten, rebuild, same_structure

Pair = namedtuple("Pair", "a b")
_leaf = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=3))
_values = st.recursive(
    _leaf,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
    ),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_values)
def test_leaves_put_back_give_the_value(value: object) -> None:
    spec, leaves = flatten(value)
    assert rebuild(value, leaves) == value
    assert flatten(rebuild(value, leaves))[0] == spec


def test_spec_says_the_nesting() -> None:
    value = {"a": torch.ones(1), "b": (1, [2.0, None])}
    spec, leaves = flatten(value)
    assert spec == "{'a':T,'b':(int,[float,NoneType])}"
    assert len(leaves) == 4


def test_named_tuples_keep_their_class() -> None:
    assert rebuild(Pair(1, 2), [3, 4]) == Pair(3, 4)


def test_a_list_passes_for_a_tuple_and_nothing_else_does() -> None:
    assert same_structure("(T,T)", "[T,T]")
    assert not same_structure("(T,T)", "(T)")
    assert not same_structure("T", "(T)")


@pytest.mark.parametrize("leaves", [[1], [1, 2, 3]])
def test_a_wrong_number_of_leaves_is_an_error(leaves: list[int]) -> None:
    with pytest.raises(TypeError):
        rebuild((1, 2), leaves)


def test_what_is_neither_tensor_nor_number_is_refused() -> None:
    deep: object = 1
    for _ in range(40):
        deep = [deep]
    for value in (object(), deep, [0] * 10_000, {"x": {1, 2}}):
        with pytest.raises(ValueError):
            flatten(value)
