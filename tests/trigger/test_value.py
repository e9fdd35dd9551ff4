"""The expected-value policy: what it asks for, what it leaves, and the numbers it gives."""
from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.messages import Outlook
from tests.trigger.test_parse import MODEL
from tests.trigger.texts import CPP, PROSE, kernel, prose
from trigger.decide import decide
from trigger.effects import Abort, Fork
from trigger.forecast import forecast
from trigger.parse import Parser
from trigger.policy import ForkState
from trigger.priors import priors
from trigger.settings import TriggerSettings
from trigger.signals import Signal
from trigger.situation import Situation
from trigger.value import appraise, probability

SETTINGS = TriggerSettings()
KERNEL = Signal(kind="kernel_completed", start=4000, end=4800, seen=4801, name="k", digest=7)
CALM = Situation(rate=50.0, latency=10.0, places=4)


def ask(signal: Signal, situation: Situation = CALM, state: ForkState | None = None) -> list[Fork]:
    found = decide(SETTINGS, state or ForkState(), signal, situation)[1]
    return [f for f in found if isinstance(f, Fork)]


def read(text: str, size: int = 4) -> list[Fork]:
    state, parser, found = ForkState(), Parser(), []
    for i in range(0, len(text), size):
        for signal in parser.feed(text[i : i + size]):
            state, effects = decide(SETTINGS, state, signal, CALM)
            found += [e for e in effects if isinstance(e, Fork)]
    return found


def test_a_first_kernel_is_forked_with_its_numbers() -> None:
    [fork] = ask(KERNEL)
    assert (fork.at_char, fork.reason) == (4800, "kernel_completed+first")
    assert fork.numbers["gain_s"] > fork.numbers["cost_s"] > 0
    assert set(fork.numbers) == {"p", "saves_s", "gain_s", "cost_s", "depth_tokens"}


def test_a_faster_fork_saves_more_and_costs_less() -> None:
    """As with prompt lookup. Its tokens keep their price."""
    fast = msgspec.structs.replace(CALM, fork_rate=6 * CALM.rate)
    slow, quick = (appraise(SETTINGS, priors(), KERNEL, s, fork_tokens=1200) for s in (CALM, fast))
    assert (quick.p, quick.saves > slow.saves) == (slow.p, True)
    seconds = 1200 / CALM.rate
    assert quick.cost > seconds * SETTINGS.token_price
    assert slow.cost - quick.cost >= 5 / 6 * seconds * SETTINGS.fork_slowdown


def test_a_fork_is_priced_with_its_prefix_where_it_will_be_sent() -> None:
    cached = Outlook(prefix="cached", wait_seconds=30.0, seconds_per_token=0.0)
    computed = Outlook(prefix="computed", wait_seconds=0.0, seconds_per_token=0.001)
    loaded = Outlook(prefix="loaded", wait_seconds=0.0, seconds_per_token=0.001)

    def priced(**replicas: Outlook) -> dict[str, float]:
        return ask(KERNEL, msgspec.structs.replace(CALM, replicas=replicas))[0].numbers

    [plain], home, again, pool = ask(KERNEL), priced(a=cached), priced(a=cached, b=computed), priced(a=cached, b=loaded)
    assert (home["first_token_s"], home["computed_s"]) == (30.0, 0.0)
    assert (again["first_token_s"], again["computed_s"]) == (1.2, 1.2), "1,200 tokens are computed while others wait"
    assert (pool["first_token_s"], pool["computed_s"]) == (1.2, 0.0), "loading stops nobody"
    assert home["saves_s"] < again["saves_s"] == pool["saves_s"] < plain.numbers["saves_s"]
    assert again["cost_s"] == pytest.approx(pool["cost_s"] + SETTINGS.prefix_price * 1.2, abs=0.002)


def test_before_any_reasoning_too() -> None:
    [fork] = ask(Signal(kind="started", start=0, end=0, seen=0))
    assert fork.at_char == 0


@pytest.mark.parametrize("change", [
    {"nothing_pending": 0.01},
    {"waiting": 40},
    {"latency": 500.0},
    {"outcomes": {"kernel_completed+first": (0, 400)}},
    {"behind": 50_000},
    {"replicas": {"a": Outlook(prefix="computed", wait_seconds=0.0, seconds_per_token=0.1)}},
    {"replicas": {"a": Outlook(prefix="cached", wait_seconds=4_000.0, seconds_per_token=0.0)}},
])
def test_what_makes_a_fork_not_worth_it(change: dict[str, object]) -> None:
    assert ask(KERNEL) and not ask(KERNEL, msgspec.structs.replace(CALM, **change))


def test_the_same_code_again_is_no_news() -> None:
    text = PROSE + kernel(1) + prose(2) + kernel(1).replace("  float", "    float /* again */") + prose(3) + kernel(2)
    assert len(read(text)) == 2


def test_a_sketch_is_not_forked() -> None:
    assert read(PROSE + kernel(1).replace("  y[", "  // ...\n  y[")) == []


def test_a_kernel_that_hardly_changed_is_not_forked() -> None:
    again = kernel(1).replace("y[threadIdx.x] = v3", "y[threadIdx.x] = v4")
    assert len(read(PROSE + kernel(1) + prose(2) + again)) == 1


def test_a_complete_draft_is_proposed_at_no_tokens() -> None:
    text = f"{PROSE}```python\n{MODEL}```\n"
    [draft] = [f for f in read(text) if f.draft]
    assert draft.draft == MODEL and draft.k == 1
    full = ForkState(asked=(len(text),), spent=SETTINGS.forks_per_iteration)
    signal = Signal(kind="fence_closed", start=0, end=len(text), seen=len(text), digest=3, draft=MODEL)
    assert ask(signal, state=full)


def test_limit_and_gap_hold() -> None:
    assert not ask(KERNEL, state=ForkState(asked=(4700,), spent=1))
    assert not ask(KERNEL, state=ForkState(asked=(10,), spent=SETTINGS.forks_per_iteration))


def test_more_at_once_where_workers_idle() -> None:
    sure = msgspec.structs.replace(CALM, outcomes={"kernel_completed+first": (60, 60)}, places=8)
    assert ask(KERNEL, sure)[0].k == SETTINGS.most_forks_at_once == 2
    assert ask(KERNEL, msgspec.structs.replace(sure, places=1))[0].k == 1
    assert ask(KERNEL, msgspec.structs.replace(sure, places=None))[0].k == 1


def test_repetition_aborts() -> None:
    effects = decide(SETTINGS, ForkState(), Signal(kind="repeating", start=0, end=9000, seen=9000), CALM)[1]
    assert [type(e) for e in effects] == [Abort]


def test_probability_is_the_mean_of_a_beta_posterior() -> None:
    table = msgspec.structs.replace(priors(), strength=10.0, rates={"a/fresh": (0.5,) * 5}, otherwise=0.0)
    assert probability(table, "a", 0, CALM) == 0.5
    seen = msgspec.structs.replace(CALM, outcomes={"a": (2, 8)})
    assert probability(table, "a", 0, seen) == pytest.approx((5 + 2) / (10 + 10))
    others = msgspec.structs.replace(CALM, outcomes={"b": (0, 40)})
    assert probability(table, "a", 0, others) == pytest.approx(5 / 20)
    assert probability(table, "unheard of", 0, CALM) == 0.0


@settings(max_examples=200, deadline=None)
@given(
    end=st.integers(0, 400_000), latency=st.floats(0, 1e4), rate=st.floats(1, 1e4), waiting=st.integers(0, 100),
    pending=st.floats(0, 1), places=st.none() | st.integers(0, 64), tokens=st.integers(0, 20_000),
    lengths=st.lists(st.integers(0, 60_000), max_size=5),
)
def test_every_price_is_finite(
    end: int, latency: float, rate: float, waiting: int, pending: float, places: int | None, tokens: int,
    lengths: list[int],
) -> None:
    situation = Situation(
        latency=latency, rate=rate, waiting=waiting, nothing_pending=pending, places=places, lengths=tuple(lengths)
    )
    signal = msgspec.structs.replace(KERNEL, end=end)
    price = appraise(SETTINGS, priors(), signal, situation, fork_tokens=tokens)
    assert 0 <= price.p <= 1 and price.saves >= 0 and 0 <= price.gain <= price.saves
    assert 0 <= price.cost < float("inf")


def test_what_is_left_shrinks_and_a_run_teaches_its_length() -> None:
    table = priors()
    left = [forecast(table, so_far, ()).beyond(0) for so_far in (0, 20_000)]
    assert left[0] > left[1] > 0
    short = forecast(table, 500, (1000, 1000, 1000)).beyond(0)
    assert short < forecast(table, 500, ()).beyond(0) / 2
    assert forecast(table, 0, ()).within(1e9) == pytest.approx(1)


def test_same_forks_whatever_the_pieces() -> None:
    text = "".join(kernel(i) + prose(i) for i in range(6)) + f"```python\n{MODEL}```\n" + CPP
    assert read(text, size=1) == read(text, size=77) == read(text, size=99_999)
    assert read(text)
