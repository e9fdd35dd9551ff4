"""Finding out what an endpoint can do, with the cheapest requests that tell."""
from __future__ import annotations

from typing import Any

import msgspec

from generator.llm import template, wire
from generator.llm.capabilities import Capabilities
from generator.llm.errors import NotAnEndpoint, Refused, WrongModel
from generator.llm.http import Http
from generator.llm.profiles import Profile, profile_for


class _Completion(msgspec.Struct):
    choices: list[wire.Choice]


async def probe(http: Http, wanted: str, given: Profile | None) -> Capabilities:
    """WrongModel, NotAnEndpoint, Unreachable or Unauthorized where it cannot be used. A profile that is given stays."""
    model = _chosen(http.url, (await http.get("/v1/models", wire.Models)).data, wanted)
    found = Capabilities(
        model=model.id, mode="chat", context=model.max_model_len, vllm=model.owned_by == "vllm",
        profile=given or profile_for(model.id),
    )
    if found.vllm and (rendered := await template.render(http, model.id)) is not None:
        learned = given or template.learned(found.profile, rendered)
        found = msgspec.structs.replace(found, switches=True, profile=learned)
    profile = found.profile
    closing = await _optional(http, "/tokenize", _text(model.id, profile.closing), wire.Tokens)
    # An endpoint with another tokenize protocol may answer with no tokens at all.
    if closing is None or not closing.tokens:
        return await _chat(http, found, profile)
    body = {"model": model.id, "prompt": closing.tokens, "max_tokens": 1, "return_token_ids": True}
    completion = await _optional(http, "/v1/completions", body, _Completion)
    if completion is None or not completion.choices:
        return await _chat(http, found, profile)
    return msgspec.structs.replace(
        found,
        mode="tokens" if completion.choices[0].token_ids else "text",
        closing_token=closing.tokens[0] if len(closing.tokens) == 1 else None,
    )


async def _chat(http: Http, found: Capabilities, profile: Profile) -> Capabilities:
    """Only vLLM is asked whether it continues a message: others ignore the question and begin a new one."""
    if not found.vllm:
        return found
    begun = f"{profile.opening}\nYes.{profile.close_with}```python\n"
    body = {
        "model": found.model,
        "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": begun}],
        "continue_final_message": True,
        "add_generation_prompt": False,
        "max_tokens": 1,
    }
    answer = await _optional(http, "/v1/chat/completions", body, _Completion)
    return msgspec.structs.replace(found, continues=answer is not None)


def _text(model: str, text: str) -> dict[str, Any]:
    return {"model": model, "prompt": text, "add_special_tokens": False}


async def _optional(http: Http, path: str, body: dict[str, Any], kind: type[wire.T]) -> wire.T | None:
    """The answer, or None where the endpoint has no such route or refuses token ids."""
    try:
        return await http.post(path, body, kind)
    except (NotAnEndpoint, Refused, WrongModel):
        return None


def _chosen(url: str, models: list[wire.Model], wanted: str) -> wire.Model:
    names = [model.id for model in models]
    if wanted:
        chosen = next((model for model in models if model.id == wanted), None)
    else:
        chosen = models[0] if len(models) == 1 else None
    if chosen is not None:
        return chosen
    if not names:
        raise NotAnEndpoint(f"{url} lists no model: wait until the engine has loaded one")
    served = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    raise WrongModel(f"{url} serves {served}, not {wanted!r}: pass --model with one of these")
