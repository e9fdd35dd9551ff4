"""The client and the replay endpoint, over HTTP."""
from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from generator.extract import extract
from generator.llm import FORK, MAIN, ContextOverflow, Endpoint, Piece, Prompt, Refused, WrongModel
from generator.replay.recording import Recording
from generator.replay.script import NO_CANDIDATE
from tests.replay.support import (
    ANSWER,
    DEPTH,
    DRAFT,
    FAST,
    REASONING,
    get,
    question,
    recording,
    replaying,
    until_aborted,
)

RESULTS = "\n## Results of iteration 1\n- c1 (fork): compile_error: no\n- c2 (main): passed, 2.00x of eager\n"


@asynccontextmanager
async def opened(
    played: Recording | None = None, **dialect: object
) -> AsyncIterator[tuple[Endpoint, Prompt]]:
    async with replaying(played, **dialect) as url, Endpoint(url, "m") as endpoint:
        await endpoint.probe()
        yield endpoint, await endpoint.open_prompt([{"role": "user", "content": question()}])


async def collect(endpoint: Endpoint, prompt: Prompt) -> list[Piece]:
    return [piece async for piece in endpoint.generate(prompt, MAIN)]


async def fork(endpoint: Endpoint, prompt: Prompt, text: str, ids: tuple[int, ...] | None) -> tuple[str, Piece]:
    """The source found in a fork's answer, and its last piece."""
    forked = await endpoint.fork_prompt(prompt, text=text, token_ids=ids)
    pieces = [piece async for piece in endpoint.generate(forked, FORK)]
    answer = "".join(piece.text for piece in pieces)
    found = extract(answer, in_fence=forked.in_fence, finish_reason=pieces[-1].finish_reason or "")
    return found.source or found.reason, pieces[-1]


def joined(pieces: list[Piece], channel: str) -> str:
    return "".join(piece.text for piece in pieces if piece.channel == channel)


async def test_a_main_generation() -> None:
    async with opened() as (endpoint, prompt):
        assert (endpoint.capabilities.mode, prompt.channel) == ("tokens", "reasoning")
        pieces = await collect(endpoint, prompt)
        ids = [i for piece in pieces for i in piece.token_ids or ()]
        assert await endpoint.detokenize(ids) == "".join(piece.text for piece in pieces)
    assert joined(pieces, "reasoning") == REASONING + "</think>"
    assert joined(pieces, "answer") == "\n\n" + ANSWER
    usage = pieces[-1].usage
    assert usage is not None
    assert (usage.prompt, usage.completion, usage.cached) == (len(prompt.token_ids or ()), len(ids), 0)


async def test_a_fork_gets_what_was_recorded_at_or_before_its_depth() -> None:
    """Forked at every token, however the tokens came together."""
    async with opened(recording(rate=2000)) as (endpoint, prompt):
        pieces = await collect(endpoint, prompt)
        ids = tuple(i for piece in pieces if piece.channel == "reasoning" for i in piece.token_ids or ())
        answers: dict[int, str] = {}
        for count in range(1, len(ids)):
            text = await endpoint.detokenize(list(ids[:count]))
            answers[len(text)], last = await fork(endpoint, prompt, text, ids[:count])
            assert last.usage is not None and last.usage.cached is not None
            prefix = len(prompt.token_ids or ()) + count
            assert last.usage.cached >= prefix // 16 * 16, "every full block is cached"
    depths = {source: [depth for depth, got in answers.items() if got == source] for source in answers.values()}
    nothing = "no code block defines class ModelNew"
    assert set(depths) == {nothing, DRAFT, FAST}
    assert max(depths[nothing]) < DEPTH - 1 <= min(depths[DRAFT]) < max(depths[DRAFT]) < DEPTH + 9 <= min(depths[FAST])


async def test_depth_zero_has_no_candidate() -> None:
    async with opened() as (endpoint, prompt):
        assert "no code block" in (await fork(endpoint, prompt, "", ()))[0]
    assert "ModelNew" not in NO_CANDIDATE


async def test_main_and_fork_go_on_from_any_prefix() -> None:
    async with opened() as (endpoint, prompt):
        pieces = await collect(endpoint, prompt)
        whole = "".join(piece.text for piece in pieces)
        for cut in (1, len(pieces) // 3, len(pieces) - 2):
            said = "".join(piece.text for piece in pieces[:cut])
            ids = tuple(i for piece in pieces[:cut] for i in piece.token_ids or ())
            rest = await collect(endpoint, await endpoint.resume_prompt(prompt, text=said, token_ids=ids))
            assert said + "".join(piece.text for piece in rest) == whole
            assert joined(pieces, "answer").endswith(joined(rest, "answer"))
        forked = await endpoint.fork_prompt(prompt, text=REASONING, token_ids=await endpoint.tokenize(REASONING))
        rest = await collect(
            endpoint, await endpoint.resume_prompt(forked, text=FAST[:10], token_ids=await endpoint.tokenize(FAST[:10]))
        )
        assert FAST[:10] + "".join(piece.text for piece in rest) == FAST + "```\n"


async def test_the_second_iteration_needs_the_first_ones_results() -> None:
    async with replaying() as url, Endpoint(url, "m") as endpoint:
        await endpoint.probe()

        async def ask(text: str) -> list[Piece]:
            return await collect(endpoint, await endpoint.open_prompt([{"role": "user", "content": text}]))

        assert joined(await ask(question(2, RESULTS)), "reasoning").startswith("Again.")
        refusals = {
            question(2): "lacks the section",
            question(2, RESULTS.replace("iteration 1", "iteration 7")): "lacks the section",
            question(2, "\n## Results of iteration 1\n- c1 (fork): timeout: slow\n"): "none of passed, compile_error",
            question(3, RESULTS): "has 2 iterations",
            question().replace("return x", "return y"): "source of the task",
            "Write a kernel.": "names no iteration",
        }
        for text, reason in refusals.items():
            with pytest.raises(Refused, match=reason):
                await ask(text)
        assert (await get(url + "/stats"))["refused"] == len(refusals)


async def test_a_prefix_of_something_else_is_refused() -> None:
    async with opened() as (endpoint, prompt):
        for text in ("Something else", "Something else</think>"):
            ids = await endpoint.tokenize(text)
            with pytest.raises(Refused, match="no prefix"):
                await collect(endpoint, await endpoint.resume_prompt(prompt, text=text, token_ids=ids))
        with pytest.raises(Refused, match="no prefix"):
            await fork(endpoint, prompt, "Something else", await endpoint.tokenize("Something else"))


async def test_limits() -> None:
    async with opened(context=400) as (endpoint, prompt):
        pieces = [p async for p in endpoint.generate(prompt, MAIN)]
        room = 400 - len(prompt.token_ids or ())
        assert pieces[-1].usage is not None and pieces[-1].usage.completion <= room
        long = await endpoint.open_prompt([{"role": "user", "content": question() + "x" * 2000}])
        with pytest.raises(ContextOverflow):
            await collect(endpoint, long)
    async with replaying(context=100, chat_only=True) as url, Endpoint(url, "m") as endpoint:
        await endpoint.probe()
        with pytest.raises(ContextOverflow, match="maximum context length is 100"):
            await collect(endpoint, await endpoint.open_prompt([{"role": "user", "content": question()}]))


async def test_another_model_is_refused() -> None:
    async with replaying() as url, Endpoint(url, "other") as endpoint:
        with pytest.raises(WrongModel, match="serves m"):
            await endpoint.probe()


async def test_leaving_aborts_the_generation() -> None:
    async with opened(recording(rate=20)) as (endpoint, prompt):
        url = endpoint.url
        generation = endpoint.generate(prompt, MAIN)
        await anext(generation)
        assert (await get(url + "/stats"))["running_main"] == 1
        await generation.aclose()
        stats = await until_aborted(url)
    assert (stats["running_main"], stats["main"]) == (0, 2), "the probe and the generation"
    assert stats["tokens_served"] < len(REASONING) / 4


async def test_the_rate_is_the_recordings() -> None:
    async with opened(recording(rate=400)) as (endpoint, prompt):
        begin = time.monotonic()
        tokens = sum(len(piece.token_ids or ()) for piece in await collect(endpoint, prompt))
        assert time.monotonic() - begin >= tokens / 400 * 0.95, "never faster than said"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", ""])
async def test_chat_only(field: str) -> None:
    async with opened(chat_only=True, reasoning_field=field) as (endpoint, prompt):
        assert (endpoint.capabilities.mode, endpoint.capabilities.continues) == ("chat", True)
        pieces = await collect(endpoint, prompt)
        marked = joined(pieces, "reasoning")
        assert marked == (REASONING if field else f"<think>{REASONING}</think>")
        assert joined(pieces, "answer").strip() == ANSWER.strip()
        assert (await fork(endpoint, prompt, marked[: DEPTH + 10 + (0 if field else 7)], None))[0] == FAST
        said = marked[:30]
        rest = await collect(endpoint, await endpoint.resume_prompt(prompt, text=said, token_ids=None))
        assert said + joined(rest, "reasoning") == marked


async def test_chat_that_continues_nothing_gets_the_reasoning_quoted() -> None:
    async with opened(chat_only=True, continues=False) as (endpoint, prompt):
        assert endpoint.capabilities.continues is False
        source, _ = await fork(endpoint, prompt, REASONING[: DEPTH + 2], None)
        assert source == DRAFT
        assert (await fork(endpoint, prompt, REASONING, None))[0] == FAST
