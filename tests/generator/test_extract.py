from __future__ import annotations

import pytest

from generator.extract import blocks, extract

CODE = "import torch\nclass ModelNew(torch.nn.Module):\n    pass\n"


def fenced(code: str, tag: str = "python") -> str:
    return f"```{tag}\n{code}```\n"


def test_takes_the_block_that_defines_the_model() -> None:
    text = "First a helper:\n" + fenced("x = 1\n") + "and\n" + fenced(CODE) + "then\n" + fenced("make\n", "sh")
    assert extract(text).source == CODE


def test_takes_the_last_of_several() -> None:
    better = CODE + "# better\n"
    assert extract(fenced(CODE) + "Better:\n" + fenced(better)).source == better


def test_an_unfinished_second_block_leaves_the_first() -> None:
    assert extract(fenced(CODE) + "```python\nclass ModelNew(", finish_reason="length").source == CODE


def test_a_fork_starts_inside_the_fence() -> None:
    assert extract(CODE + "```\nDone.", in_fence=True).source == CODE
    assert extract(CODE, in_fence=True, finish_reason="stop").source == CODE
    assert extract(CODE.rstrip(), in_fence=True, finish_reason="stop").source == CODE, "the stop text took a line break"


@pytest.mark.parametrize(("text", "in_fence", "finish", "reason"), [
    ("No code today.", False, "stop", "no fenced code block"),
    (fenced("x = 1\n"), False, "stop", "no code block defines"),
    ("```python\n" + CODE, False, "stop", "not closed"),
    ("```python\n" + CODE, False, "length", "token limit"),
    (CODE, True, "length", "token limit"),
    ("", True, "stop", "no code block defines"),
    ("# class ModelNew: not at the start of a line\n```", True, "stop", "no code block defines"),
    ("Use class ModelNew.", False, "stop", "no fenced code block"),
])
def test_says_why_there_is_none(text: str, in_fence: bool, finish: str, reason: str) -> None:
    found = extract(text, in_fence=in_fence, finish_reason=finish)
    assert found.source is None
    assert reason in found.reason


def test_nothing_is_repaired() -> None:
    broken = "class ModelNew(:\n  return\n"
    assert extract(fenced(broken)).source == broken


def test_other_fences_and_indentation() -> None:
    assert extract("~~~python\n" + CODE + "~~~\n").source == CODE
    assert extract("````python\n" + CODE + "s = '''\n```\n'''\n````\n").source == CODE + "s = '''\n```\n'''\n"
    assert extract("  ```python\n" + CODE + "  ```").source == CODE


def test_blocks_give_their_place() -> None:
    text = "a\n" + fenced("x\n", "cpp") + "b\n```cuda\ny"
    one = "```cpp\nx\n```"
    first, second = blocks(text)
    assert (first.text, first.tag, first.closed, text[first.start : first.end]) == ("x\n", "cpp", True, one)
    assert (second.text, second.tag, second.closed) == ("y", "cuda", False)
