"""Every way a stream can go right or wrong, against a real server."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.llm import (
    FORK,
    MAIN,
    ContextOverflow,
    Endpoint,
    EndpointProblem,
    Overloaded,
    Patience,
    Piece,
    Refused,
    StreamBroken,
    StreamStalled,
    WrongModel,
    profile_for,
)
from generator.llm.channels import Splitter
from tests.llm.misbehaving import Server, cut, encode, raw, stalled, status, stream

QUICK = Patience(connect=2, first=0.5, idle=0.3, attempts=3, wait=0.01, wait_max=0.05)
MESSAGES = [{"role": "user", "content": "Q"}]


@asynccontextmanager
async def opened(server: Server) -> AsyncIterator[Endpoint]:
    async with server, Endpoint(server.url, "m", patience=QUICK) as endpoint:
        await endpoint.probe()
        yield endpoint


async def pieces_of(server: Server) -> list[Piece]:
    async with opened(server) as endpoint:
        return await collect(endpoint)


async def collect(endpoint: Endpoint) -> list[Piece]:
    prompt = await endpoint.open_prompt(MESSAGES)
    return [piece async for piece in endpoint.generate(prompt, MAIN)]


def texts(pieces: list[Piece], channel: str) -> str:
    return "".join(piece.text for piece in pieces if piece.channel == channel)


def check_positions(pieces: list[Piece]) -> None:
    token = char = 0
    for piece in pieces:
        assert (piece.first_token, piece.first_char) == (token, char)
        token += len(piece.token_ids or ())
        char += len(piece.text)


async def failing(server: Server, kind: type[EndpointProblem]) -> tuple[list[Piece], EndpointProblem]:
    """What arrived before the failure, and the failure."""
    arrived: list[Piece] = []
    async with opened(server) as endpoint:
        prompt = await endpoint.open_prompt(MESSAGES)
        with pytest.raises(kind) as caught:
            async for piece in endpoint.generate(prompt, MAIN):
                arrived.append(piece)
    return arrived, caught.value


async def test_reasoning_and_answer_with_usage() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    pieces = await pieces_of(Server(stream("<think>", "ab", "</think>", "cd", usage=usage)))
    assert texts(pieces, "reasoning") == "<think>ab</think>"
    assert texts(pieces, "answer") == "cd"
    assert pieces[-1].finish_reason == "stop"
    last = pieces[-1].usage
    assert last is not None
    assert (last.prompt, last.completion, last.cached) == (7, 5, 4)
    check_positions(pieces)


async def test_a_template_may_open_the_reasoning() -> None:
    pieces = await pieces_of(Server(stream("ab", "</think>", "cd"), template="\nA:<think>\n"))
    assert (texts(pieces, "reasoning"), texts(pieces, "answer")) == ("ab</think>", "cd")


async def test_markers_split_across_pieces() -> None:
    parts = ["\n", "<th", "ink", ">a", "b</t", "hin", "k>c", "d"]
    pieces = await pieces_of(Server(stream(*[(part, encode(part)) for part in parts])))
    assert texts(pieces, "reasoning") == "\n<think>ab</think>"
    assert texts(pieces, "answer") == "cd"
    check_positions(pieces)


async def test_one_event_may_carry_both_channels() -> None:
    pieces = await pieces_of(Server(stream("<think>a</think>bc")))
    ids = [piece.token_ids for piece in pieces]
    assert [piece.text for piece in pieces] == ["<think>a</think>", "bc", ""]
    assert ids == [tuple(encode("<think>a</think>")), tuple(encode("bc")), ()]


async def test_an_answer_without_reasoning() -> None:
    pieces = await pieces_of(Server(stream("<t", "able>")))
    assert (texts(pieces, "answer"), texts(pieces, "reasoning")) == ("<table>", "")
    assert texts(await pieces_of(Server(stream("<th"))), "answer") == "<th"


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "think", ">", "a", "\n", "</", "é"]), max_size=12),
       st.lists(st.integers(1, 5), min_size=1, max_size=8), st.sampled_from([None, "reasoning", "answer"]))
def test_channels_do_not_depend_on_the_cutting(parts: list[str], sizes: list[int], start: str | None) -> None:
    text = "".join(parts)

    def split(chunks: list[str]) -> list[Piece]:
        splitter = Splitter(profile_for(""), start)  # type: ignore[arg-type]
        found = [piece for chunk in chunks for piece in splitter.feed(chunk, tuple(map(ord, chunk)))]
        found += splitter.rest(ids_known=True)
        check_positions(found)
        assert "".join(piece.text for piece in found) == text
        assert [i for piece in found for i in piece.token_ids or ()] == list(map(ord, text))
        return found

    chunks: list[str] = []
    at = 0
    while at < len(text):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(text[at : at + size])
        at += size
    whole, cut_up = split([text]), split(chunks)
    assert texts(whole, "reasoning") == texts(cut_up, "reasoning")


async def test_429_is_retried_after_what_it_asks() -> None:
    server = Server(status(429, Retry_After="0.05"), status(503), stream("ok"))
    assert texts(await pieces_of(server), "answer") == "ok"
    assert len(server.requests) == 3


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_overload_ends_in_a_sentence(code: int) -> None:
    server = Server(status(code, {"error": {"message": "busy"}}))
    _, error = await failing(server, Overloaded)
    assert f"{code}" in str(error) and "busy" in str(error)
    assert len(server.requests) == QUICK.attempts


async def test_what_arrived_before_a_cut_is_valid() -> None:
    arrived, error = await failing(Server(cut("<think>", "ab")), StreamBroken)
    assert texts(arrived, "reasoning") == "<think>ab"
    assert "broke" in str(error)


async def test_a_stalled_stream_is_given_up_and_closed() -> None:
    server = Server(stalled("<think>", "ab"))
    async with opened(server) as endpoint:
        with pytest.raises(StreamStalled, match="sent nothing for"):
            await collect(endpoint)
        await asyncio.wait_for(server.gone.wait(), 10)


async def test_an_end_without_a_finish_reason_is_no_end() -> None:
    for done in (True, False):
        arrived, _ = await failing(Server(stream("ab", finish=None, done=done)), StreamBroken)
        assert texts(arrived, "answer") == "ab"
    await failing(Server(stream("ab", finish="abort")), StreamBroken)


async def test_a_finish_reason_without_done_is_an_end() -> None:
    assert (await pieces_of(Server(stream("ab", finish="length", done=False))))[-1].finish_reason == "length"


@pytest.mark.parametrize("garbage", [b"data: {nonsense\n\n", b"data: [1, 2]\n\n", b'data: {"choices": 5}\n\n'])
async def test_garbage_breaks_the_stream(garbage: bytes) -> None:
    _, error = await failing(Server(raw(garbage)), StreamBroken)
    assert "no completion" in str(error)


async def test_comments_blank_lines_and_odd_chunks_are_no_garbage() -> None:
    event = b'data: {"choices": [{"text": "ab", "token_ids": [97, 98], "finish_reason": "stop"}]}\r\n\r\n'
    parts = [b": ping\n\n", b"event: x\n", event[:9], event[9:30], event[30:]]
    assert texts(await pieces_of(Server(raw(*parts))), "answer") == "ab"


async def test_a_very_long_line_is_read() -> None:
    event = {"choices": [{"text": "ab", "token_ids": [97, 98], "prompt_token_ids": list(range(200_000))}]}
    end = {"choices": [{"text": "", "token_ids": [], "finish_reason": "stop"}]}
    assert texts(await pieces_of(Server(raw(event, end))), "answer") == "ab"


async def test_an_error_inside_the_stream() -> None:
    part = {"choices": [{"text": "ab", "token_ids": [1, 2]}]}
    arrived, error = await failing(Server(raw(part, {"error": {"message": "engine died"}})), StreamBroken)
    assert texts(arrived, "answer") == "ab" and "engine died" in str(error)
    overflow = {"error": {"message": "maximum context length is 9", "code": 400}}
    await failing(Server(raw(part, overflow)), ContextOverflow)


async def test_token_ids_that_stop_coming() -> None:
    arrived, error = await failing(Server(stream("ab", ("cd", None))), StreamBroken)
    assert texts(arrived, "answer") == "ab" and "token ids" in str(error)


@pytest.mark.parametrize("body", [
    {"error": {"message": "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens",
               "type": "BadRequestError", "code": 400}},
    {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400},
    {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}},
])
async def test_context_overflow_bodies(body: object) -> None:
    server = Server(status(400, body))
    _, error = await failing(server, ContextOverflow)
    assert "lower" in str(error)
    assert len(server.requests) == 1, "an overflow is not retried"


async def test_a_full_context_is_seen_before_asking() -> None:
    server = Server(stream("ok"), context=200)
    async with opened(server) as endpoint:
        prompt = await endpoint.open_prompt([{"role": "user", "content": "Q" * 150}])
        with pytest.raises(ContextOverflow, match="takes 200"):
            await anext(endpoint.generate(prompt, MAIN))
    assert server.requests == []


async def test_max_tokens_is_cut_to_the_room_left() -> None:
    server = Server(stream("ok"), context=4096)
    await pieces_of(server)
    assert server.requests[0]["max_tokens"] == 4096 - len(encode("Q\nA:"))


async def test_other_refusals_and_an_unloaded_model() -> None:
    _, error = await failing(Server(status(400, {"error": {"message": "bad top_p"}})), Refused)
    assert "bad top_p" in str(error)
    gone = {"error": {"message": "The model `m` does not exist.", "type": "NotFoundError"}}
    await failing(Server(status(404, gone)), WrongModel)


async def test_closing_the_iterator_closes_the_connection() -> None:
    server = Server(stalled("ab", "cd"))
    async with opened(server) as endpoint:
        generation = endpoint.generate(await endpoint.open_prompt(MESSAGES), MAIN)
        assert (await anext(generation)).text == "ab"
        await generation.aclose()
        await asyncio.wait_for(server.gone.wait(), 10)


async def test_cancelling_the_reader_closes_the_connection() -> None:
    server = Server(stalled("ab"))
    async with opened(server) as endpoint:
        reader = asyncio.create_task(collect(endpoint))
        await asyncio.wait_for(server.begun.wait(), 10)
        reader.cancel()
        await asyncio.wait_for(server.gone.wait(), 10)
        with pytest.raises(asyncio.CancelledError):
            await reader


async def test_requests_carry_the_settings() -> None:
    server = Server(stream("<think>ab</think>ok"))
    async with opened(server) as endpoint:
        prompt = await endpoint.open_prompt(MESSAGES)
        assert [piece async for piece in endpoint.generate(prompt, MAIN, priority=0)]
        fork = await endpoint.fork_prompt(prompt, text="<think>a", token_ids=encode("<think>a"))
        assert [piece async for piece in endpoint.generate(fork, FORK, priority=5)]
    main, forked = server.requests
    assert main["return_token_ids"] is True and main["stream_options"] == {"include_usage": True}
    assert (main["temperature"], main["priority"], "stop" in main) == (0.6, 0, False)
    assert (forked["temperature"], forked["priority"], forked["stop"]) == (0.1, 5, ["\n```"])
