"""Markers read out of a chat template: families as their templates render a reasoned answer."""
from __future__ import annotations

import pytest

from generator.llm import Profile, profile_for
from generator.llm.template import ANSWER, REASONING, Rendered, learned

USER = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
HARMONY = "<|start|>user<|message|>Hello<|end|><|start|>assistant"
FAMILIES = {
    "qwen3": (USER, f"{USER}<think>\n{REASONING}\n</think>\n\n{ANSWER}<|im_end|>\n"),
    "qwen3-thinking": (f"{USER}<think>\n", f"{USER}<think>\n{REASONING}\n</think>\n\n{ANSWER}<|im_end|>\n"),
    "glm": (
        "[gMASK]<sop><|user|>\nHello<|assistant|>",
        f"[gMASK]<sop><|user|>\nHello<|assistant|>\n<think>{REASONING}</think>\n{ANSWER}",
    ),
    "seed": (
        "<seed:bos>user\nHello<seed:eos><seed:bos>assistant\n",
        "<seed:bos>user\nHello<seed:eos><seed:bos>assistant\n"
        f"<seed:think>{REASONING}</seed:think>{ANSWER}<seed:eos>",
    ),
    "harmony": (
        HARMONY,
        f"{HARMONY}<|channel|>analysis<|message|>{REASONING}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
    ),
}
EXPECTED = {
    "qwen3": ("<think>", "</think>", "\n</think>\n\n", False),
    "qwen3-thinking": ("<think>", "</think>", "\n</think>\n\n", True),
    "glm": ("<think>", "</think>", "</think>\n", False),
    "seed": ("<seed:think>", "</seed:think>", "</seed:think>", False),
    "harmony": (
        "<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>", False,
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_template_that_renders_the_reasoning_tells_every_marker(family: str) -> None:
    found = learned(profile_for("unheard-of"), Rendered(*FAMILIES[family]))
    assert (found.opening, found.closing, found.close_with, found.template_opens) == EXPECTED[family]


@pytest.mark.parametrize(
    ("name", "prompt", "whole", "opens"),
    [
        ("QwQ-32B", f"{USER}<think>\n", f"{USER}{ANSWER}<|im_end|>", True),
        ("DeepSeek-V3.1", "<|User|>Hello<|Assistant|><think>", f"<|User|>Hello<|Assistant|></think>{ANSWER}", True),
        ("gpt-oss-120b", HARMONY, f"{HARMONY}<|channel|>final<|message|>{ANSWER}<|return|>", False),
        ("Llama", f"{USER}", f"{USER}{ANSWER}", False),
    ],
)
def test_one_that_drops_it_leaves_the_familys_markers(name: str, prompt: str, whole: str, opens: bool) -> None:
    base = profile_for(name)
    found = learned(base, Rendered(prompt, whole))
    assert (found.opening, found.closing, found.close_with) == (base.opening, base.closing, base.close_with)
    assert found.template_opens is opens


def test_a_template_that_answers_before_it_reasons_tells_nothing() -> None:
    base = Profile(name="x")
    assert learned(base, Rendered(USER, f"{USER}{ANSWER}{REASONING}")) == base
    assert learned(base, Rendered(USER, f"{USER}<think>{REASONING}{ANSWER}")) == base
