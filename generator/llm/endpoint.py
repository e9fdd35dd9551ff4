"""One model at one endpoint: probe it, open prompts, stream generations, fork and resume them."""
from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from generator.llm import prompt as prompts
from generator.llm import wire
from generator.llm.capabilities import Capabilities
from generator.llm.channels import Piece, Splitter
from generator.llm.errors import CannotContinue, ContextOverflow
from generator.llm.http import Http, Patience
from generator.llm.probe import probe
from generator.llm.profiles import Profile
from generator.llm.prompt import Prompt
from generator.llm.sampling import Sampling
from generator.llm.stream import read_pieces
from generator.llm.template import SWITCHES

Messages = Sequence[dict[str, str]]
_TAIL = 16
"""Tokens of a prompt's end that are looked at for an opened think marker."""
_LEAST_ROOM = 256
"""Tokens an answer needs at the very least; with less left the context counts as full."""


class Endpoint:
    """Use as an async context manager; call `probe` first. Every method may raise an EndpointProblem."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        profile: Profile | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.model = model
        self._given = profile
        self._http = Http(url, api_key, patience or Patience())
        self._known: Capabilities | None = None
        self._suffixes: dict[str, tuple[int, ...]] = {}

    async def __aenter__(self) -> Endpoint:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    @property
    def url(self) -> str:
        return self._http.url

    @property
    def capabilities(self) -> Capabilities:
        if self._known is None:
            raise RuntimeError("call probe() before using the endpoint")
        return self._known

    @property
    def profile(self) -> Profile:
        return self.capabilities.profile

    async def probe(self) -> Capabilities:
        """Find out what the endpoint can do, at one generated token. An empty model name takes the only one."""
        self._known = await probe(self._http, self.model, self._given)
        self.model = self._known.model
        return self._known

    async def open_prompt(self, messages: Messages) -> Prompt:
        """The prompt for a main generation, through the model's own chat template."""
        chat = tuple(dict(message) for message in messages)
        if self.capabilities.mode == "chat":
            return Prompt(messages=chat, channel="reasoning" if self.profile.template_opens else None)
        body: dict[str, Any] = {"model": self.model, "messages": chat, "add_generation_prompt": True}
        if self.capabilities.switches:
            body["chat_template_kwargs"] = SWITCHES
        ids = (await self._http.post("/tokenize", body, wire.Tokens)).tokens
        channel = prompts.channel_after(await self.detokenize(ids[-_TAIL:]), self.profile)
        return Prompt(messages=chat, token_ids=tuple(ids), channel=channel)

    async def tokenize(self, text: str) -> tuple[int, ...]:
        """Ids of a text, without a template and without special tokens added."""
        body = {"model": self.model, "prompt": text, "add_special_tokens": False}
        return tuple((await self._http.post("/tokenize", body, wire.Tokens)).tokens)

    async def detokenize(self, ids: Sequence[int]) -> str:
        return (await self._http.post("/detokenize", {"model": self.model, "tokens": list(ids)}, wire.Text)).prompt

    async def fork_prompt(
        self, prompt: Prompt, *, text: str, token_ids: Sequence[int] | None, language: str = "python"
    ) -> Prompt:
        """The exact prefix, the end of the thinking and an opened fence.

        `text` and `token_ids` are what `prompt` generated up to the fork. ValueError where the reasoning ended before.
        """
        suffix = prompts.fork_suffix(text, prompt, self.profile, language)
        if prompt.token_ids is not None:
            generated = await self._generated(text, token_ids)
            return prompts.extended(prompt, generated, await self._suffix(suffix), in_fence=True)
        if self.capabilities.continues:
            return prompts.prefilled(prompt, text, suffix, self.profile)
        return prompts.quoted(prompt, text, self.profile)

    async def resume_prompt(self, prompt: Prompt, *, text: str, token_ids: Sequence[int] | None) -> Prompt:
        """Go on where a broken stream or a killed generator left off. CannotContinue on most chat-only endpoints."""
        channel = prompts.channel_within(text, prompt.channel, self.profile)
        if prompt.token_ids is not None:
            generated = await self._generated(text, token_ids)
            go_on = prompts.extended(prompt, generated, (), in_fence=prompt.in_fence)
        elif self.capabilities.continues:
            go_on = prompts.prefilled(prompt, text, "", self.profile)
        else:
            raise CannotContinue("this endpoint takes chat messages only and cannot go on from a prefix: start again")
        at = (prompt.first_token + len(token_ids or ()), prompt.first_char + len(text))
        return msgspec.structs.replace(
            go_on, channel=channel, first_token=at[0], first_char=at[1], in_fence=prompt.in_fence
        )

    async def generate(
        self, prompt: Prompt, sampling: Sampling, *, priority: int | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Pieces as they arrive; the last has a finish reason and, where the endpoint counts, the usage.

        Closing the iterator closes the connection, at which an engine aborts the request. StreamBroken and its
        subclass leave everything yielded before valid.
        """
        path, body = self._request(prompt, sampling, priority)
        response = await self._http.open_stream(path, body)
        splitter = Splitter(
            self.profile, prompt.channel, self.capabilities.closing_token, prompt.first_token, prompt.first_char
        )
        try:
            pieces = read_pieces(response, splitter, self._http.patience, self.capabilities.mode)
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        finally:
            response.close()

    async def _generated(self, text: str, token_ids: Sequence[int] | None) -> tuple[int, ...]:
        return await self.tokenize(text) if token_ids is None and text else tuple(token_ids or ())

    async def _suffix(self, text: str) -> tuple[int, ...]:
        if text not in self._suffixes:
            self._suffixes[text] = await self.tokenize(text)
        return self._suffixes[text]

    def _request(self, prompt: Prompt, sampling: Sampling, priority: int | None) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "model": self.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": self._room(prompt, sampling.max_tokens),
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.stop and prompt.in_fence:
            body["stop"] = list(sampling.stop)
        if priority is not None and self.capabilities.vllm:
            body["priority"] = priority
        if prompt.token_ids is None:
            return "/v1/chat/completions", body | self._chat(prompt)
        # Markers may be special tokens, which an engine leaves out of the text unless told not to.
        body |= {"prompt": prompt.token_ids, "return_token_ids": True, "skip_special_tokens": False}
        return "/v1/completions", body

    def _chat(self, prompt: Prompt) -> dict[str, Any]:
        body: dict[str, Any] = {"messages": prompt.messages}
        if not prompt.thinking and self.capabilities.vllm:
            body["chat_template_kwargs"] = {"enable_thinking": False}
        if prompt.prefilled:
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body

    def _room(self, prompt: Prompt, wanted: int) -> int:
        context = self.capabilities.context
        if context is None or prompt.token_ids is None:
            return wanted
        left = context - len(prompt.token_ids)
        if left < min(_LEAST_ROOM, wanted):
            raise ContextOverflow(
                f"the prompt has {len(prompt.token_ids)} tokens and the model takes {context}: lower the prompt's limit"
            )
        return min(wanted, left)


