"""The recording proxy: what goes through it plays again, word for word."""
from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from common.errors import UsageError
from generator.llm import FORK, MAIN, Endpoint, Overloaded, Piece, Prompt, StreamBroken, WrongModel
from generator.llm.http import Patience
from generator.replay.proxy import Proxy
from generator.replay.recording import Recording, load
from generator.replay.write import Writer
from tests.llm.misbehaving import Server, cut, encode, stream
from tests.replay.support import ANSWER, DEPTH, REASONING, TASK, question, recording, replaying, until_aborted

QUICK = Patience(connect=2, first=5, idle=5, attempts=2, wait=0.01, wait_max=0.02)


@asynccontextmanager
async def recording_of(upstream: str, folder: Path) -> AsyncIterator[str]:
    """The proxy's URL; the recording is complete after the block."""
    async with Proxy(upstream, Writer(folder, TASK)) as proxy:
        runner = web.AppRunner(proxy.app(), handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def through(upstream: str, folder: Path) -> AsyncIterator[Endpoint]:
    """A probed client of the proxy."""
    async with recording_of(upstream, folder) as url, Endpoint(url, "m", patience=QUICK) as endpoint:
        await endpoint.probe()
        yield endpoint


async def collect(endpoint: Endpoint, prompt: Prompt, *, fork: bool = False) -> list[Piece]:
    return [piece async for piece in endpoint.generate(prompt, FORK if fork else MAIN)]


async def perform(url: str) -> list[tuple[str, ...]]:
    """A small run: two iterations, and forks of the first while it is going on. What was said, by request."""
    said: list[tuple[str, ...]] = []

    async def forked(endpoint: Endpoint, prompt: Prompt, depth: int) -> None:
        text = REASONING[:depth]
        ids = await endpoint.tokenize(text) if endpoint.capabilities.mode == "tokens" else None
        fork = await endpoint.fork_prompt(prompt, text=text, token_ids=ids)
        said.append((f"fork {depth}", "".join(p.text for p in await collect(endpoint, fork, fork=True)).strip()))

    async with Endpoint(url, "m", patience=QUICK) as endpoint:
        await endpoint.probe()
        prompt = await endpoint.open_prompt([{"role": "user", "content": question()}])
        async with asyncio.TaskGroup() as group:
            main = group.create_task(collect(endpoint, prompt))
            for depth in (DEPTH, DEPTH + 12):
                await forked(endpoint, prompt, depth)
        said.append(("main 1", *texts(await main)))
        results = "\n## Results of iteration 1\n- c1 (main): passed, 2.00x of eager\n"
        second = await endpoint.open_prompt([{"role": "user", "content": question(2, results)}])
        said.append(("main 2", *texts(await collect(endpoint, second))))
    return said


def texts(pieces: list[Piece]) -> tuple[str, str]:
    reasoning = "".join(piece.text for piece in pieces if piece.channel == "reasoning")
    return reasoning, "".join(piece.text for piece in pieces if piece.channel == "answer")


@pytest.mark.parametrize("dialect", [
    {}, {"chat_only": True}, {"chat_only": True, "continues": False}, {"chat_only": True, "reasoning_field": ""},
], ids=["tokens", "chat", "quoting chat", "chat with markers"])
async def test_a_recording_of_the_replay_endpoint_replays_the_same(dialect: dict[str, object], tmp_path: Path) -> None:
    async with replaying(recording(rate=400), **dialect) as upstream, recording_of(upstream, tmp_path / "r") as url:
        first = await perform(url)
    copy = load(tmp_path / "r")
    assert [i.reasoning for i in copy.iterations] == [i.reasoning for i in recording().iterations]
    assert [i.answer for i in copy.iterations] == [ANSWER, ANSWER]
    assert [depth for depth, _ in copy.iterations[0].forks] == [DEPTH, DEPTH + 12]
    assert copy.task == TASK
    async with replaying(copy, **dialect) as again:
        assert await perform(again) == first


async def test_the_rate_is_measured(tmp_path: Path) -> None:
    async with replaying(recording(rate=60)) as upstream, through(upstream, tmp_path / "r") as endpoint:
        await collect(endpoint, await endpoint.open_prompt([{"role": "user", "content": question()}]))
    assert 5 < load(tmp_path / "r").rate < 70


async def record(server: Server, folder: Path, *, fails: bool = False) -> Recording:
    """Record one main generation of a scripted endpoint, gone on with if it breaks."""
    async with server, through(server.url, folder) as endpoint:
        prompt = await endpoint.open_prompt([{"role": "user", "content": question()}])
        if fails:
            text = ""
            with pytest.raises(StreamBroken):
                async for piece in endpoint.generate(prompt, MAIN):
                    text += piece.text
            prompt = await endpoint.resume_prompt(prompt, text=text, token_ids=encode(text))
        await collect(endpoint, prompt)
    return load(folder)


async def test_markers_in_the_text_are_left_out(tmp_path: Path) -> None:
    copy = await record(Server(stream("<think>\n", "ab", "</think>", "\n\ncd")), tmp_path / "r")
    assert (copy.iterations[0].reasoning, copy.iterations[0].answer) == ("ab", "cd")


async def test_a_model_that_does_not_reason(tmp_path: Path) -> None:
    copy = await record(Server(stream("cd")), tmp_path / "r")
    assert (copy.iterations[0].reasoning, copy.iterations[0].answer) == ("", "cd")


async def test_a_broken_generation_and_its_continuation_are_one(tmp_path: Path) -> None:
    copy = await record(Server(cut("<think>", "ab"), stream("c</think>", "ok")), tmp_path / "r", fails=True)
    assert (copy.iterations[0].reasoning, copy.iterations[0].answer) == ("abc", "ok")


async def test_a_cut_answer_and_a_cut_fork_are_left_out(tmp_path: Path) -> None:
    server = Server(stream("<think>ab</think>", "half", finish="length"), stream("half", finish="length"))
    async with server, through(server.url, tmp_path / "r") as endpoint:
        prompt = await endpoint.open_prompt([{"role": "user", "content": question()}])
        await collect(endpoint, prompt)
        await collect(endpoint, await endpoint.fork_prompt(prompt, text="<think>a", token_ids=encode("<think>a")))
    assert (load(tmp_path / "r").iterations[0].answer, load(tmp_path / "r").iterations[0].forks) == (None, ())


async def test_what_the_client_leaves_is_left_upstream_too(tmp_path: Path) -> None:
    async with replaying(recording(rate=20)) as upstream:
        async with through(upstream, tmp_path / "r") as endpoint:
            prompt = await endpoint.open_prompt([{"role": "user", "content": question()}])
            generation = endpoint.generate(prompt, MAIN)
            await anext(generation)
            await generation.aclose()
        assert (await until_aborted(upstream))["running_main"] == 0
    assert REASONING.startswith(load(tmp_path / "r").iterations[0].reasoning)


async def test_errors_pass_through_and_a_missing_upstream_is_said(tmp_path: Path) -> None:
    async with (
        replaying() as upstream,
        recording_of(upstream, tmp_path / "r") as url,
        Endpoint(url, "other", patience=QUICK) as endpoint,
    ):
        with pytest.raises(WrongModel, match="serves m, not 'other'"):
            await endpoint.probe()
    with pytest.raises(Overloaded, match="does not answer"):
        async with through("http://127.0.0.1:9", tmp_path / "s"):
            pass


def test_the_folder_must_be_empty(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(UsageError, match="not empty"):
        Writer(tmp_path, None)
    with pytest.raises(UsageError, match="cannot write"):
        Writer(tmp_path / "x" / "y", None)


def test_the_command(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    arguments = [sys.executable, "-m", "common.cli", "record", "--upstream", "http://127.0.0.1:9/v1",
                 "--out", str(tmp_path / "r"), "--ready-file", str(ready)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=root, text=True) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert line == json.loads(ready.read_text())
    assert line["upstream"] == "http://127.0.0.1:9"
    arguments[5] = "127.0.0.1:9"
    done = subprocess.run(arguments, cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
