from __future__ import annotations

import pytest

from common.messages import Stage
from scheduler.roles import assign

V, P = Stage.VALIDATE, Stage.PROFILE
BOTH, ONLY = frozenset({V, P}), frozenset({V})


@pytest.mark.parametrize(
    ("capable", "waiting", "validating"),
    [
        ({"a": BOTH, "b": BOTH, "c": BOTH, "d": BOTH}, (3, 1), 3),
        ({"a": BOTH, "b": BOTH, "c": BOTH, "d": BOTH}, (0, 0), 2),
        ({"a": BOTH, "b": BOTH, "c": BOTH, "d": BOTH}, (0, 9), 1),
        ({"a": BOTH, "b": BOTH, "c": BOTH, "d": BOTH}, (9, 0), 3),
    ],
)
def test_the_split_follows_what_waits(capable: dict, waiting: tuple[int, int], validating: int) -> None:
    roles = assign(capable, {V: waiting[0], P: waiting[1]}, {})
    assert sum(stages == (V,) for stages in roles.values()) == validating
    assert set(roles) == set(capable)


def test_one_device_is_shared_unless_another_serves_the_stage() -> None:
    assert assign({"a": BOTH}, {}, {}) == {"a": (V, P)}
    assert assign({"a": ONLY, "b": BOTH}, {V: 9, P: 0}, {}) == {"a": (V,), "b": (P,)}


def test_no_devices_no_roles() -> None:
    assert assign({}, {V: 3}, {}) == {}


def test_a_device_keeps_its_role_where_the_split_allows() -> None:
    capable = {name: BOTH for name in "abcd"}
    now = {"a": (P,), "b": (P,), "c": (V,), "d": (V,)}
    assert assign(capable, {V: 1, P: 1}, now) == now
    more = assign(capable, {V: 3, P: 1}, now)
    assert sum(more[d] != now[d] for d in capable) == 1
