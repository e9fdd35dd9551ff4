"""The first policy, and the limits every policy obeys."""
from __future__ import annotations

from tests.trigger.texts import CPP, FENCED, PROSE, PYTHON, prose
from trigger.decide import decide
from trigger.effects import Fork
from trigger.parse import Parser
from trigger.policy import ForkState
from trigger.settings import TriggerSettings
from trigger.situation import Situation


def forks(text: str, state: ForkState | None = None, size: int = 4, **settings: int) -> list[Fork]:
    state, parser, found = state or ForkState(), Parser(), []
    chosen = TriggerSettings(policy="first", **settings)
    for i in range(0, len(text), size):
        for signal in parser.feed(text[i : i + size]):
            state, effects = decide(chosen, state, signal, Situation())
            found += [e for e in effects if isinstance(e, Fork)]
    return found


def test_a_function_in_prose_is_forked_at_its_last_brace() -> None:
    [fork] = forks(PROSE + CPP + "Now the wrapper.")
    assert (fork.reason, fork.at_char) == ("function_completed", len(PROSE + CPP) - 1)


def test_a_python_function_is_complete_when_the_text_dedents() -> None:
    [fork] = forks(PROSE + PYTHON + "\nThat should do.\n")
    assert (fork.reason, fork.at_char) == ("function_completed", len(PROSE + PYTHON) - 1)


def test_a_fence_that_closes() -> None:
    text = PROSE + "```cpp\nfloat bias = 0.5f;\n```\n"
    [fork] = forks(text)
    assert (fork.reason, fork.at_char) == ("fence_closed", len(text) - 1)


def test_gap_and_limit() -> None:
    near, far = CPP * 3, "".join(CPP + prose(i) for i in range(10))
    assert len(forks(near)) == 1
    assert len(forks(far)) == TriggerSettings().forks_per_iteration
    assert len(forks(far, forks_per_iteration=3)) == 3


def test_what_was_asked_for_is_not_asked_for_again() -> None:
    text = PROSE + CPP + prose(2) + CPP
    first, second = forks(text)
    assert forks(text, ForkState(asked=(first.at_char,), spent=1)) == [second]
    assert forks(text, ForkState(asked=(first.at_char, second.at_char), spent=2)) == []


def test_same_forks_whatever_the_pieces() -> None:
    text = "".join(FENCED + prose(i) + PYTHON + "\n" + prose(i + 9) for i in range(3))
    assert forks(text, size=1) == forks(text, size=77) == forks(text, size=9999)
