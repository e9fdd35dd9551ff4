"""Forks and continuations: the exact prefix, and the text fallbacks."""
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from generator.llm import MAIN, CannotContinue, Endpoint, Patience, Piece, Profile, Prompt, StreamBroken, profile_for
from generator.llm.prompt import channel_after, channel_within
from tests.llm.misbehaving import Server, chat, cut, decode, encode, stream

QUICK = Patience(connect=2, first=2, idle=1, attempts=2, wait=0.01, wait_max=0.02)
MESSAGES = [{"role": "user", "content": "Q"}]
SUFFIX = "\n</think>\n\n```python\n"


@asynccontextmanager
async def opened(server: Server, **options: object) -> AsyncIterator[tuple[Endpoint, Prompt]]:
    async with server, Endpoint(server.url, "m", patience=QUICK, **options) as endpoint:  # type: ignore[arg-type]
        await endpoint.probe()
        yield endpoint, await endpoint.open_prompt(MESSAGES)


async def collect(endpoint: Endpoint, prompt: Prompt) -> list[Piece]:
    return [piece async for piece in endpoint.generate(prompt, MAIN)]


async def test_a_fork_is_the_exact_prefix_and_an_open_fence() -> None:
    async with opened(Server()) as (endpoint, prompt):
        fork = await endpoint.fork_prompt(prompt, text="<think>abc", token_ids=encode("<think>abc"))
        assert fork.token_ids == (*encode("Q\nA:"), *encode("<think>abc"), *encode(SUFFIX))
        assert (fork.channel, fork.in_fence) == ("answer", True)


async def test_a_fork_at_depth_zero_opens_the_thinking_where_nothing_did() -> None:
    async with opened(Server()) as (endpoint, prompt):
        fork = await endpoint.fork_prompt(prompt, text="", token_ids=())
        assert decode(list(fork.token_ids or ())) == "Q\nA:<think>" + SUFFIX
    async with opened(Server(template="<think>\n")) as (endpoint, prompt):
        fork = await endpoint.fork_prompt(prompt, text="", token_ids=())
        assert decode(list(fork.token_ids or ())) == "Q<think>\n" + SUFFIX


async def test_no_fork_behind_the_reasoning() -> None:
    async with opened(Server()) as (endpoint, prompt):
        with pytest.raises(ValueError, match="nothing to fork"):
            await endpoint.fork_prompt(prompt, text="<think>a</think>b", token_ids=encode("<think>a</think>b"))


async def test_no_fork_where_the_model_answers_at_once() -> None:
    async with opened(Server()) as (endpoint, prompt):
        with pytest.raises(ValueError, match="nothing to fork"):
            await endpoint.fork_prompt(prompt, text="Sure", token_ids=encode("Sure"))


async def test_without_token_ids_a_fork_tokenises_the_text() -> None:
    async with opened(Server(stream("<think>ab"), ids=False)) as (endpoint, prompt):
        pieces = await collect(endpoint, prompt)
        assert [piece.token_ids for piece in pieces] == [None, None]
        fork = await endpoint.fork_prompt(prompt, text="<think>ab", token_ids=None)
        assert decode(list(fork.token_ids or ())) == "Q\nA:<think>ab" + SUFFIX


async def test_a_broken_generation_goes_on_where_it_was() -> None:
    server = Server(cut("<think>", "ab"), stream("c</think>", "ok"))
    async with opened(server) as (endpoint, prompt):
        text, ids = "", tuple[int, ...]()
        with pytest.raises(StreamBroken):
            async for piece in endpoint.generate(prompt, MAIN):
                text, ids = text + piece.text, ids + (piece.token_ids or ())
        resumed = await endpoint.resume_prompt(prompt, text=text, token_ids=ids)
        pieces = await collect(endpoint, resumed)
    assert server.requests[1]["prompt"] == encode("Q\nA:<think>ab")
    assert [piece.channel for piece in pieces] == ["reasoning", "answer", "answer"]
    assert (pieces[0].first_token, pieces[0].first_char) == (len(encode("<think>ab")), len("<think>ab"))
    assert pieces[1].first_char == len("<think>abc</think>")


async def test_a_broken_fork_goes_on_inside_its_fence() -> None:
    server = Server(stream("class ModelNew"), stream(": pass"))
    async with opened(server) as (endpoint, prompt):
        fork = await endpoint.fork_prompt(prompt, text="", token_ids=())
        resumed = await endpoint.resume_prompt(fork, text="class", token_ids=encode("class"))
        assert (resumed.in_fence, resumed.channel, resumed.first_char) == (True, "answer", 5)


async def test_chat_with_a_reasoning_field() -> None:
    deltas = [{"role": "assistant"}, {"reasoning_content": "ab"}, {"reasoning": "c"}, {"content": "<think>ok"}]
    async with opened(Server(chat(*deltas), tokenizes=False)) as (endpoint, prompt):
        pieces = await collect(endpoint, prompt)
    assert [(piece.channel, piece.text, piece.first_char) for piece in pieces] == [
        ("reasoning", "ab", 0), ("reasoning", "c", 2), ("answer", "<think>ok", 3), ("answer", "", 12)]
    assert all(piece.token_ids is None for piece in pieces)


async def test_chat_with_markers_in_the_content() -> None:
    deltas = [{"content": "<thi"}, {"content": "nk>ab</thi"}, {"content": "nk>ok"}]
    async with opened(Server(chat(*deltas), tokenizes=False)) as (endpoint, prompt):
        pieces = await collect(endpoint, prompt)
    reasoning = "".join(piece.text for piece in pieces if piece.channel == "reasoning")
    assert (reasoning, pieces[-2].text) == ("<think>ab</think>", "ok")


async def test_chat_whose_template_opened_the_reasoning() -> None:
    server = Server(chat({"content": "ab</think>ok"}), tokenizes=False)
    async with opened(server, profile=Profile(name="x", template_opens=True)) as (endpoint, prompt):
        assert [piece.channel for piece in await collect(endpoint, prompt)] == ["reasoning", "answer", "answer"]


async def test_a_chat_fork_continues_the_assistant_where_the_endpoint_does() -> None:
    server = Server(chat({"content": "code"}), tokenizes=False)
    async with opened(server) as (endpoint, prompt):
        fork = await endpoint.fork_prompt(prompt, text="ideas", token_ids=None)
        assert (await collect(endpoint, fork))[0].channel == "answer"
        resumed = await endpoint.resume_prompt(fork, text="co", token_ids=None)
        assert resumed.messages[-1]["content"] == "<think>ideas" + SUFFIX + "co"
        assert len(resumed.messages) == 2 and resumed.in_fence
    request = server.requests[-1]
    assert request["messages"][-1] == {"role": "assistant", "content": "<think>ideas" + SUFFIX}
    assert request["continue_final_message"] is True and request["add_generation_prompt"] is False


async def test_a_chat_fork_elsewhere_quotes_the_reasoning() -> None:
    server = Server(chat({"content": "code"}), tokenizes=False, owned_by="x")
    async with opened(server) as (endpoint, prompt):
        fork = await endpoint.fork_prompt(prompt, text="<think>ideas", token_ids=None)
        await collect(endpoint, fork)
        with pytest.raises(CannotContinue, match="start again"):
            await endpoint.resume_prompt(prompt, text="x", token_ids=None)
    [message] = server.requests[-1]["messages"]
    assert "<notes>\nideas\n</notes>" in message["content"] and message["content"].startswith("Q")
    assert not {"continue_final_message", "chat_template_kwargs", "stop"} & set(server.requests[-1])


def test_channel_after_a_prompt() -> None:
    profile = profile_for("")
    assert channel_after("user\nassistant\n<think>\n", profile) == "reasoning"
    assert channel_after("assistant\n<think>\n\n</think>\n\n", profile) == "answer"
    assert channel_after("assistant\n", profile) is None
    assert channel_after("what does <think> mean? assistant\n", profile) is None


def test_channel_within_a_generation() -> None:
    profile = profile_for("")
    assert channel_within("", None, profile) is None
    assert channel_within("<thi", None, profile) is None
    assert channel_within("\n<think>a", None, profile) == "reasoning"
    assert channel_within("a", None, profile) == "answer"
    assert channel_within("a</think>", "reasoning", profile) == "answer"
    assert channel_within("a", "reasoning", profile) == "reasoning"
    assert channel_within("", "answer", profile) == "answer"


def test_families() -> None:
    names = {name: profile_for(name).name for name in ("Qwen/QwQ-32B", "Qwen/Qwen3-8B", "openai/gpt-oss-120b")}
    assert names == {"Qwen/QwQ-32B": "think-opened", "Qwen/Qwen3-8B": "think", "openai/gpt-oss-120b": "harmony"}
