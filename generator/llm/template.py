"""A model's markers, read out of its own chat template by rendering a reasoned answer with it."""
from __future__ import annotations

import re

import msgspec

from generator.llm import wire
from generator.llm.errors import NotAnEndpoint, Refused
from generator.llm.http import Http
from generator.llm.profiles import Profile

SWITCHES = {"enable_thinking": True, "thinking": True}
"""What the templates of hybrid models call the switch that lets them reason (Qwen3 and GLM; DeepSeek and Granite).
A template without it ignores it."""
REASONING, ANSWER = "weigh both loops", "take the first"
_MARKER = re.compile(r"(<[^<>\s]+>|\[[^\[\]\s]+\])\s*\Z")


class Rendered(msgspec.Struct, frozen=True):
    prompt: str
    """What a generation follows on."""
    whole: str
    """The same with an answer that was reasoned about."""


async def render(http: Http, model: str) -> Rendered | None:
    """Both texts as the endpoint's template has them; None where it renders none with the switches."""
    user = {"role": "user", "content": "Hello"}
    answered = {"role": "assistant", "content": ANSWER, "reasoning": REASONING, "reasoning_content": REASONING}
    try:
        prompt = await _text(http, model, [user], opened=True)
        return Rendered(prompt, await _text(http, model, [user, answered], opened=False))
    except (Refused, NotAnEndpoint):
        return None


async def _text(http: Http, model: str, messages: list[dict[str, str]], *, opened: bool) -> str:
    body = {
        "model": model, "messages": messages, "add_generation_prompt": opened, "chat_template_kwargs": SWITCHES
    }
    ids = (await http.post("/tokenize", body, wire.Tokens)).tokens
    return (await http.post("/detokenize", {"model": model, "tokens": ids}, wire.Text)).prompt


def learned(base: Profile, rendered: Rendered) -> Profile:
    """The family's profile with what its template says: many drop the reasoning of answers and so say nothing."""
    opens = bool(rendered.prompt.rstrip().endswith(base.opening))
    base = msgspec.structs.replace(base, template_opens=opens or base.template_opens)
    thought = rendered.whole.find(REASONING)
    answered = rendered.whole.find(ANSWER, thought)
    if thought < 0 or answered < 0:
        return base
    between = rendered.whole[thought + len(REASONING) : answered]
    opening, opens = _opening(rendered, rendered.whole[:thought])
    if not between.strip() or not opening:
        return base
    return msgspec.structs.replace(
        base, opening=opening, closing=between.strip(), close_with=between, template_opens=opens
    )


def _opening(rendered: Rendered, before: str) -> tuple[str, bool]:
    """What opens the reasoning, and whether a prompt ends with it already."""
    begun = before.removeprefix(rendered.prompt)
    if begun != before and begun.strip():
        return begun.strip(), False
    found = _MARKER.search(before)
    return (found[1], rendered.prompt.rstrip().endswith(found[1])) if found else ("", False)
