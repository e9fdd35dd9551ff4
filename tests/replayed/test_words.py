"""Which words a request is to say."""
from __future__ import annotations

import pytest

from bench.replayed.words import Cut, Main, cut, left, parent
from generator.replay.recording import Iteration
from generator.replay.script import Refusal

ITERATION = Iteration(reasoning="r", answer="a")
CLOSE, FENCE = 90, 91
SUFFIX = (7, CLOSE, FENCE)
MAIN = Main(prompt=(1, 2), words=(5, 6, 7, 8, CLOSE, 9), iteration=ITERATION)


def test_a_prompt_belongs_to_the_longest_that_it_begins_with() -> None:
    other = Main(prompt=(1, 3), words=(), iteration=ITERATION)
    longer = Main(prompt=(1, 2, 4), words=(), iteration=ITERATION)
    begun = [MAIN, other, longer]
    assert parent(begun, (1, 2)) is MAIN and parent(begun, (1, 2, 5)) is MAIN
    assert parent(begun, (1, 3, 5)) is other and parent(begun, (1, 2, 4, 5)) is longer
    assert parent(begun, (1,)) is None and parent([], (1, 2)) is None


@pytest.mark.parametrize(("said", "still"), [((), MAIN.words), ((5, 6), (7, 8, CLOSE, 9)), (MAIN.words, ())])
def test_a_generation_that_goes_on_says_the_rest(said: tuple[int, ...], still: tuple[int, ...]) -> None:
    assert left(MAIN.words, said) == still


@pytest.mark.parametrize("said", [(6,), (5, 7), (*MAIN.words, 1)])
def test_what_was_not_recorded_does_not_go_on(said: tuple[int, ...]) -> None:
    with pytest.raises(Refusal, match="was not recorded"):
        left(MAIN.words, said)


@pytest.mark.parametrize("answered", [(), (3, 4)])
@pytest.mark.parametrize("thought", [0, 1, 2, 3, 4])
def test_a_fork_is_cut_where_its_thinking_was_ended(thought: int, answered: tuple[int, ...]) -> None:
    """After two tokens the reasoning goes on with the suffix's first one."""
    prompt = (*MAIN.prompt, *MAIN.words[:thought], *SUFFIX, *answered)
    assert cut(MAIN, prompt, SUFFIX) == Cut(thought=thought, answered=answered)


@pytest.mark.parametrize("rest", [(), (5, 6), (5, 9, *SUFFIX), (6, *SUFFIX), (5, 6, CLOSE, FENCE)])
def test_other_prompts_are_no_forks(rest: tuple[int, ...]) -> None:
    with pytest.raises(Refusal, match="no cut of the recorded reasoning"):
        cut(MAIN, (*MAIN.prompt, *rest), SUFFIX)
