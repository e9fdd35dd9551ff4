"""Which device serves what, under each policy."""
from __future__ import annotations

from collections import Counter

import pytest

from scheduler.fleet import Device, Hold
from scheduler.pools import Elastic, Load, Published, Static
from scheduler.pools.policy import Loads, Policy
from scheduler.requests import Identity
from scheduler.settings import SchedulerSettings
from tests.facts import judgement, result
from tests.scheduler.desk import Desk, P, V

SETTINGS = SchedulerSettings(dwell_seconds=1.0, hysteresis=0.15)
HOLD = {stage: Hold("w", 1, Identity(stage, "r", 1, "c"), "r", 0.0) for stage in (V, P)}


def devices(pattern: str, *, since: float = 0.0) -> list[Device]:
    """`vVpP`: v and p are idle, V and P busy, `-` serves nothing yet."""
    stages = {"v": V, "p": P}
    return [
        Device(f"d{i}", frozenset({V, P}), (stages[c.lower()],) if c != "-" else (), since,
               HOLD[stages[c.lower()]] if c.isupper() else None)
        for i, c in enumerate(pattern)
    ]


def loads(validate: int, profile: int, *, coming: tuple[float, float] = (0.0, 0.0), in_hand: tuple[int, int] = (0, 0),
          slots: int = 99, ready: tuple[int, int] | None = None, fixed: tuple[int, int] = (0, 0)) -> Loads:
    ready = ready or (validate, profile)
    return {
        stage: Load(queue=queue, ready=ready[n], seconds=1.0, slots=slots, in_hand=in_hand[n], coming=coming[n],
                    fixed=fixed[n])
        for n, (stage, queue) in enumerate(((V, validate), (P, profile)))
    }


def divide(policy: Policy, pattern: str, load: Loads, now: float = 10.0) -> str:
    roles = policy.divide(devices(pattern), load, now)
    return "".join(roles[f"d{i}"][0] for i in range(len(pattern)))


@pytest.mark.parametrize(
    ("before", "load", "after"),
    [
        ("vvpp", loads(0, 0), "vvpp"),
        ("vvPP", loads(0, 2), "pppp"),
        ("vvPP", loads(0, 1), "pvpp"),
        ("vvPP", loads(2, 5), "pvpp"),
        ("vVPP", loads(9, 9), "pvpp"),
        ("VVpp", loads(5, 1), "vvvp"),
        ("VVpp", loads(5, 2), "vvpp"),
        ("vv", loads(1, 1), "pv"),
        ("VVPP", loads(0, 4, ready=(0, 0)), "vvpp"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_idle_devices_follow_the_work_to_profiling_first(before: str, load: Loads, after: str) -> None:
    assert divide(Elastic(SETTINGS), before, load) == after


@pytest.mark.parametrize(
    ("before", "load", "after"),
    [
        ("VVVV", loads(9, 1), "vvvv"),
        ("VVVV", loads(9, 1, in_hand=(1, 0)), "pvvv"),
        ("PPPP", loads(1, 9, in_hand=(0, 1)), "vppp"),
        ("VVVVVVPP", loads(1, 9), "vvvvvvpp"),
        ("VVVVVVPP", loads(1, 9, in_hand=(1, 0)), "pppppvpp"),
        ("VVVVPPPP", loads(9, 1, in_hand=(2, 2)), "vvvvpppp"),
        ("VVVVPPPP", loads(20, 0, in_hand=(2, 2)), "vvvvpppp"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_busy_devices_are_told_to_change_only_where_their_stage_would_take_them_again(
    before: str, load: Loads, after: str
) -> None:
    """And for profiling only, unless a stage has no device at all."""
    assert divide(Elastic(SETTINGS), before, load) == after


def test_of_busy_devices_those_held_longest_change() -> None:
    held = devices("VVV")
    for device, since in zip(held, (3.0, 1.0, 2.0), strict=True):
        device.hold = Hold("w", 1, Identity(V, "r", 1, "c"), "r", since)
    roles = Elastic(SETTINGS).divide(held, loads(9, 1, in_hand=(1, 0)), 10.0)
    assert roles == {"d0": V, "d1": P, "d2": V}


def test_idle_devices_go_ahead_to_where_work_is_expected() -> None:
    assert Counter(divide(Elastic(SETTINGS), "pppppppp", loads(0, 0, coming=(9.0, 3.0)))) == {"v": 5, "p": 3}
    assert divide(Elastic(SETTINGS), "pppppppp", loads(0, 0)) == "pppppppp"


def test_a_device_keeps_its_role_for_a_while() -> None:
    roles = Elastic(SETTINGS).divide(devices("vvPP", since=9.5), loads(0, 9), 10.0)
    assert Counter(roles.values()) == {V: 2, P: 2}
    assert divide(Elastic(SETTINGS), "vvPP", loads(0, 9), now=1.0) == "pppp"


def test_no_more_devices_than_the_workers_can_use() -> None:
    load = loads(50, 9, slots=3, in_hand=(3, 0))
    assert Counter(divide(Elastic(SETTINGS), "------", load))["v"] == 3
    assert Counter(divide(Elastic(SETTINGS), "VVVVVV", load))["p"] == 3


def test_a_stage_that_others_serve_needs_none_of_these() -> None:
    assert divide(Elastic(SETTINGS), "vp", loads(0, 9, fixed=(4, 0))) == "pp"


@pytest.mark.parametrize(("queues", "validating"), [((3, 1), 3), ((0, 0), 2), ((0, 9), 1), ((9, 0), 3), ((1, 1), 2)])
def test_the_published_rule_splits_by_the_longest_queues_of_the_last_round(
    queues: tuple[int, int], validating: int
) -> None:
    policy = Published()
    policy.watch({V: queues[0], P: queues[1]})
    policy.watch({V: 0, P: 0})
    policy.round_ended()
    assert Counter(divide(policy, "VVPP", loads(7, 7)))["v"] == validating
    policy.watch({V: 1, P: 50})
    assert Counter(divide(policy, "VVPP", loads(0, 50)))["v"] == 2, "nothing changes within a round"


def test_a_split_that_changes_takes_idle_devices_first() -> None:
    policy = Published()
    policy.watch({V: 1, P: 3})
    policy.round_ended()
    assert divide(policy, "VvVp", loads(1, 3)) == "vppp"


def test_static_is_even_and_stays() -> None:
    assert divide(Static(), "-----", loads(0, 50)) == "vvppp"
    assert divide(Static(), "vvppp", loads(50, 0)) == "vvppp"


# ---- in the scheduler


def test_one_device_is_shared_unless_another_serves_the_stage() -> None:
    desk = Desk()
    desk.tell(*desk.pool("d1"))
    assert desk.roles() == {"d1": "vp"}
    desk.tell(desk.worker(V, "v1", able=(V,), name="other"))
    assert desk.roles() == {"d1": "p", "v1": "v"}


@pytest.mark.parametrize("policy", ["elastic", "published", "static"])
def test_roles_are_announced_when_they_change_and_only_then(policy: str) -> None:
    desk = Desk(pools=policy)
    desk.tell(*desk.pool("d1", "d2", "d3"))
    assert Counter(desk.roles().values()) == {"v": 2, "p": 1}
    assert desk.assigned[0].changed == dict.fromkeys(("d1", "d2", "d3"), policy)
    assert (desk.act(), len(desk.assigned)) == ([], 1)


def test_devices_follow_the_work_and_finish_what_they_hold() -> None:
    desk = Desk(dwell_seconds=0.0)
    desk.tell(*desk.pool("d1", "d2", "d3", "d4"))
    names = [f"f{i}" for i in range(40)]
    desk.tell(*desk.forks(*names))
    validating = [d for d, role in desk.roles().items() if role == "v"]
    assert len(validating) == 4, "there is nothing to profile"
    held = [desk.takes(device, V, issue.request.identity.candidate)
            for device, issue in zip(validating, desk.out, strict=True)]
    desk.tell(*held)
    desk.tell(*(result(V, name, judgement()) for name in names[:30]))
    assert {device.state for device in desk.core.fleet.devices.values()} == {"validating"}
    desk.tell(desk.frees(held[0]))
    assert desk.core.fleet.devices[held[0].device].state == "idle" and desk.roles()[held[0].device] == "p"
    states = Counter(device.state for device in desk.core.fleet.devices.values())
    assert states == {"idle": 1, "draining": 2, "validating": 1}, "a worker holds one that would take the next"


def test_what_has_to_be_compiled_first_goes_out_before_a_device_serves_it() -> None:
    """Both devices profile, and a validation is not ready before it is compiled."""
    desk = Desk(dwell_seconds=0.0)
    desk.tell(*desk.pool("d1", "d2"), *desk.forks("f1", "f2", "f3"))
    desk.tell(*(result(V, name, judgement(seconds={"compile": 9.0})) for name in ("f1", "f2")))
    assert desk.roles() == {"d1": "p", "d2": "p"}
    desk.now += 1.0
    desk.out.clear()
    desk.tell(*desk.forks("f4"), *(desk.takes(f"d{i}", P, f"f{i}") for i in (1, 2)))
    assert [i.request.identity.candidate for i in desk.out if i.request.identity.stage is V] != []


def test_the_load_is_told_when_it_changes() -> None:
    desk = Desk()
    desk.tell(*desk.pool("d1", "d2"))
    assert (desk.told[-1].idle, desk.told[-1].waiting[V]) == (2, 0)
    count = len(desk.told)
    desk.act()
    assert len(desk.told) == count
    desk.tell(*desk.forks(*(f"f{i}" for i in range(9))))
    desk.tell(desk.takes("d1", V, "f8"))
    told = desk.told[-1]
    assert (told.idle, told.waiting[V], told.running[V], told.room) == (1, 7, 1, desk.settings.waiting_limit - 7)
    assert told.wait_seconds[V] == pytest.approx(8.5) and told.wait_seconds[P] == 0.0


def test_devices_do_not_flap() -> None:
    """Alternating bursts every 0.1 s: a device changes at most once in `dwell_seconds`."""
    desk = Desk(dwell_seconds=1.0)
    desk.tell(*desk.pool("d1", "d2", "d3", "d4"))
    for step in range(100):
        desk.now += 0.1
        name = f"f{step}"
        desk.tell(*desk.pool("d1", "d2", "d3", "d4"), *desk.forks(name))
        desk.tell(result(V, name, judgement()) if step % 2 else desk.fails(name))
    changes = Counter(device for assign in desk.assigned for device in assign.changed)
    assert 0 < max(changes.values()) <= 11
