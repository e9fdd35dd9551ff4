"""What forks rely on, shown on a real vLLM: shared prefixes, aborts that free it, priorities, restarts.

One engine serves the whole module: loading it takes half a minute. The model has random weights.
"""
from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from bench.engine.client import Answer, Client, EngineRefused
from bench.engine.recorded import Iteration, Outcome, Recorded, Stand
from bench.engine.speculate import compare
from bench.engine.world import World
from bench.replayed.play import said
from bench.replayed.player import Player
from bench.replayed.proxy import ForcingProxy
from common.commands.engine import Ready
from common.messages import (
    Budget,
    EngineMeasured,
    ForkRequest,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    TokenDelta,
    pattern,
)
from common.report.summary import summarise
from generator.llm import FORK, MAIN, Endpoint
from generator.replay.listen import listen
from generator.replay.recording import Iteration as Spoken
from generator.replay.recording import Recording
from generator.replay.script import full_text
from tests.engine.support import BLOCK, engine_system, load_of, require_environment, until_idle
from tests.pipeline.recordings import FILLER, kernel
from tests.pipeline.system import System, alive, descendants
from tests.pipeline.test_run import TASK
from trigger.settings import TriggerSettings
from trigger.signals import Signal

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
MOST_TOKENS = 360
MESSAGES = [{"role": "user", "content": "Make this kernel faster. " * 12}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[System, Ready]]:
    require_environment()
    env = {"SPECGEN_GENERATOR_MAX_TOKENS": str(MOST_TOKENS), "SPECGEN_ENGINE_KV_GIB": "1"}
    async with engine_system(tmp_path_factory.mktemp("engine"), **env) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(up: tuple[System, Ready]) -> AsyncIterator[Client]:
    """The server's own protocol; every test finds the engine idle."""
    async with Client(up[1].url, up[1].model) as client:
        await until_idle(client)
        yield client


async def prompt_of(client: Client, words: str, tokens: int) -> list[int]:
    """A prompt of exactly so many tokens, like no other test's."""
    ids = await client.tokenize(words * tokens)
    return ids[:tokens]


def reached(tokens: int, event: asyncio.Event) -> Callable[[Answer], None]:
    return lambda answer: event.set() if len(answer.ids) >= tokens else None


async def test_a_fork_of_a_running_stream_finds_its_whole_prefix_in_the_cache(up: tuple[System, Ready]) -> None:
    """Through the generator's own client: all full blocks of the prefix are shared at once, and positions are exact."""
    async with Endpoint(up[1].url, up[1].model) as endpoint:
        capabilities = await endpoint.probe()
        assert (capabilities.mode, capabilities.vllm) == ("tokens", True)
        marks = capabilities.profile
        assert (marks.opening, marks.close_with, marks.template_opens) == ("<think>", "\n</think>\n\n", True)
        assert capabilities.switches and capabilities.closing_token is not None, "as the model's own template says"
        prompt = await endpoint.open_prompt(MESSAGES)
        assert prompt.channel == "reasoning" and prompt.token_ids is not None
        text, ids = "", []
        main = endpoint.generate(prompt, MAIN, priority=0)
        async for piece in main:
            text, ids = text + piece.text, ids + list(piece.token_ids or ())
            if len(ids) >= 150:
                break
        cut = ids[:140]
        fork = await endpoint.fork_prompt(prompt, text=text, token_ids=cut)
        assert fork.token_ids is not None
        shared = len(prompt.token_ids) + len(cut)
        assert fork.token_ids[:shared] == prompt.token_ids + tuple(cut)
        short = msgspec.structs.replace(FORK, max_tokens=16)
        pieces = [piece async for piece in endpoint.generate(fork, short, priority=1)]
        usage = pieces[-1].usage
        await main.aclose()
    assert usage is not None and usage.prompt == len(fork.token_ids)
    assert usage.cached == shared // BLOCK * BLOCK


SAID = 48
"""Tokens that a fork says on a warm and on a cold prefix."""


async def test_a_fork_on_a_warm_prefix_says_what_it_says_on_a_cold_one(client: Client) -> None:
    """The parent is aborted; each request runs alone, since a batch may round otherwise."""
    prompt = await prompt_of(client, "warm and cold ", 100)
    far = asyncio.Event()
    parents: list[Answer] = []
    parent = asyncio.create_task(client.generate(
        prompt, 400, ignore_eos=True, on_token=lambda a: (parents.append(a), reached(150, far)(a))[1]
    ))
    await far.wait()
    parent.cancel()
    await until_idle(client)
    forked = prompt + parents[-1].ids[:140] + await client.tokenize("\n</think>\n\n```python\n")
    warm = await client.generate(forked, SAID, ignore_eos=True)
    await until_idle(client)
    cold = await client.generate(forked, SAID, ignore_eos=True, cache_salt="another")
    other = await client.generate(forked[:-40], SAID, ignore_eos=True, cache_salt="third")
    assert (warm.cached, cold.cached) == (240 // BLOCK * BLOCK, 0)
    assert warm.ids == cold.ids and len(warm.ids) == SAID
    assert other.ids != warm.ids, "the model's words depend on the prompt, or equality would mean nothing"


async def test_a_stop_frees_the_engine(client: Client, record_property: Callable[[str, object], None]) -> None:
    """Main and forks are aborted by closing their connections, waiting ones too."""
    prompt = await prompt_of(client, "stopping ", 64)
    begun = [asyncio.Event() for _ in range(4)]
    tasks = [
        asyncio.create_task(client.generate(
            [*prompt, 100 + i], 1_000, priority=min(i, 1), ignore_eos=True, on_token=reached(20, event)
        ))
        for i, event in enumerate(begun)
    ]
    await asyncio.gather(*(event.wait() for event in begun))
    assert (await load_of(client)).running >= 2
    for task in tasks:
        task.cancel()
    seconds = await until_idle(client)
    record_property("seconds_until_free", seconds)
    print(f"free after {seconds:.3f} s")


class Race:
    """A main stream and five forks of it that need more cache together than there is."""

    def __init__(self, client: Client, main: int, fork: int) -> None:
        self._client = client
        self._priorities = main, fork
        self._said: dict[str, int] = {}
        self._stalls: dict[str, int] = {}
        self._others: dict[str, dict[str, int]] = {}

    async def run(self) -> tuple[int, int]:
        """Tokens that another stream said while main stalled for longest, and while a fork did."""
        tasks: list[asyncio.Task[Answer]] = []
        prompt = await prompt_of(self._client, f"priorities {self._priorities} ", 200)

        def on_main(answer: Answer) -> None:
            self._speaks("main", len(answer.ids))
            if len(answer.ids) == 60:
                tasks.extend(asyncio.create_task(self._fork([*prompt, *answer.ids[:50]], i)) for i in range(5))

        main = await self._client.generate(
            prompt, 180, priority=self._priorities[0], ignore_eos=True, on_token=on_main
        )
        assert len(main.ids) == 180
        for task in tasks:
            task.cancel()
        await until_idle(self._client)
        for name in list(self._said):
            self._speaks(name, self._said[name])
        return self._stalls["main"], max(stall for name, stall in self._stalls.items() if name != "main")

    async def _fork(self, prefix: list[int], i: int) -> Answer:
        return await self._client.generate(
            [*prefix, 200 + i], 150, priority=self._priorities[1], ignore_eos=True, cache_salt=f"{self._priorities}{i}",
            on_token=lambda answer: self._speaks(f"f{i}", len(answer.ids)),
        )

    def _speaks(self, name: str, tokens: int) -> None:
        """A stream's stall, in what others said since it last spoke."""
        since = self._others.get(name, {})
        stall = max((said - since[other] for other, said in self._said.items() if other in since), default=0)
        self._stalls[name] = max(self._stalls.get(name, 0), stall)
        self._said[name] = tokens
        self._others[name] = dict(self._said)


async def test_forks_never_starve_the_main_stream(
    client: Client, record_property: Callable[[str, object], None]
) -> None:
    """With main before forks, forks are set back when the cache is full; the other way round the main stream is."""
    main, fork = await Race(client, main=0, fork=1).run()
    reverse, _ = await Race(client, main=1, fork=0).run()
    record_property("tokens_others_said_in_the_longest_stall", {"main": main, "fork": fork, "main_if_last": reverse})
    print(f"longest stall: main {main}, a fork {fork}, main behind forks {reverse} tokens of another stream")
    assert fork > 32, "the cache was never full: the test shows nothing"
    assert reverse > 32
    assert main <= min(fork, reverse) / 2


async def test_recorded_text_streams_forks_and_stops(client: Client) -> None:
    """Teacher forcing: main and fork say given texts at the same time, through prefill, cache and scheduler."""
    prompt = await prompt_of(client, "forced ", 70)
    thinking = await client.tokenize("First tile the loop, then keep the row in registers. " * 20 + "\n</think>\n\n")
    answer = await client.tokenize("```python\nclass ModelNew:\n    pass\n```")
    far = asyncio.Event()
    main = asyncio.create_task(client.generate(prompt, 600, forced=thinking + answer, on_token=reached(150, far)))
    await far.wait()
    suffix = await client.tokenize("\n</think>\n\n")
    fork = await client.generate(prompt + thinking[:140] + suffix, 200, forced=answer, priority=1)
    said = await main
    assert said.ids[: len(thinking + answer)] == thinking + answer and said.finish == "stop"
    assert fork.ids[: len(answer)] == answer and fork.cached == 210 // BLOCK * BLOCK
    with pytest.raises(EngineRefused, match="400"):
        await client.generate(prompt, 10, vllm_xargs={"forced": "no ids"})


async def recorded_iteration(client: Client) -> Recorded:
    """A reasoning with one finished kernel, whose fork answers well; written for this test."""
    lines = [f"Let me weigh variant {n} of the loop. " for n in range(40)]
    pieces = [await client.tokenize(line) for line in lines]
    ends = [sum(map(len, lines[: n + 1])) for n, piece in enumerate(pieces) for _ in piece]
    answer = tuple(await client.tokenize("\n</think>\n\n```python\nclass ModelNew:\n    pass\n```"))
    good = Outcome(key="fork", passed=True, speedup=2.0, judge_seconds=0.4)
    best = Outcome(key="main", passed=True, speedup=3.0, judge_seconds=0.4)
    at = sum(map(len, lines[:10]))
    iteration = Iteration(
        trace="written", prompt=tuple(await prompt_of(client, "recorded ", 80)), ends=tuple(ends), answer=answer,
        thinking=tuple(token for piece in pieces for token in piece), outcome=best,
        signals=(Signal(kind="kernel_completed", start=0, end=at, seen=at, digest=1),),
        forks=(Stand(from_char=0, ids=answer, outcome=good),),
    )
    return Recorded(
        rule="written", seed=0, suffix=tuple(await client.tokenize("\n</think>\n\n```python\n")), runs=((iteration,),),
        accepted=(), end=2,
    )


async def test_a_fork_that_passes_ends_a_recorded_iteration_early(client: Client) -> None:
    """The benchmark's own loop: the live policies over the real engine, on against off."""
    recorded = await recorded_iteration(client)
    settings = TriggerSettings(policy="first", most_forks_at_once=1)
    found = await compare(client, recorded, World(), settings)
    iteration = recorded.iterations[0]
    off, on = found["off"], found["on"]
    assert (off["stopped"], off["forks"], off["profiled"]) == (0, 0, 1)
    assert off["main_tokens"] == len(iteration.thinking) + len(iteration.answer) + 1
    assert (on["stopped"], on["forks"], on["profiled"]) == (1, 1, 1)
    assert on["saved_tokens"] > 0 and on["main_tokens"] + on["saved_tokens"] == off["main_tokens"] - 1
    assert on["fork_tokens"] == len(iteration.answer) + 1 and on["wasted_fork_tokens"] == 0
    assert on["runs"][0][0]["cached_share"] > 0.7
    await until_idle(client)


def recorded_run() -> Recording:
    """Of few tokens: every fork answers with one kernel, the main generation with another."""
    forked, answered = (f"{kernel('passed', variant)}```\n" for variant in (1, 2))
    iteration = Spoken(
        reasoning=FILLER * 4, answer=f"The kernel:\n\n```python\n{answered}", forks=((0, forked),)
    )
    return Recording(model="", rate=1.0, fence="python", task=TASK, iterations=(iteration,))


async def test_a_recorded_run_goes_through_every_service(
    up: tuple[System, Ready], client: Client, tmp_path: Path
) -> None:
    """`bench.replayed`: the words are recorded; the forks, their tokens and the judging of their kernels are real."""
    system, recording = up[0], recorded_run()
    (tmp_path / "task.py").write_text(TASK)
    async with ForcingProxy(client.url, Player(client, [recording]), "on") as proxy:
        runner, url = await listen(proxy.app())
        run = await system.submit("replayed", tmp_path / "task.py", url, iterations=1, stop="never")
        events = await system.ended(run)
        await runner.cleanup()
    assert proxy.refused == []
    words = {(run, 1): full_text(recording.iterations[0])}
    assert await said(system.bus, [run]) == words
    forks = [e for e in events if isinstance(e, GenerationStarted) and e.kind == "fork"]
    cached = [e.cached_tokens for e in events if isinstance(e, GenerationEnded) and e.generation != "main"]
    assert forks and cached and all(cached)
    by_origin = summarise(events).candidates
    assert by_origin == {"fork": {"passed": 1}, "main": {"passed": 1}}


async def test_a_killed_engine_is_restarted_and_the_run_goes_on(up: tuple[System, Ready], tmp_path: Path) -> None:
    """Through the real generator, with a fork asked for over the bus; the model's answers are no kernels, and are said
    to be none."""
    system, engine = up
    (tmp_path / "task.py").write_text(TASK)
    budget = Budget(iterations=1)
    run = await system.submit("survivor", tmp_path / "task.py", engine.url, budget=budget, drain_seconds=5)
    async with asyncio.timeout(120), system.bus.listen(pattern(TokenDelta, run=run, generation="main")) as tokens:
        async for delivery in tokens:
            delta = delivery.message
            assert isinstance(delta, TokenDelta) and delta.token_ids
            if delta.first_token >= 100:
                break
    await system.bus.record(ForkRequest(
        run=run, iteration=1, generation="main", at=0.0, at_token=90, at_char=0, k=1, reason="asked_by_test"
    ))
    await system.until(run, lambda f: isinstance(f, GenerationStarted) and f.reason == "asked_by_test")
    core = next(pid for pid, line in descendants(system.process.pid).items() if line.startswith("VLLM::EngineCore"))
    os.kill(core, signal.SIGKILL)
    events = await system.ended(run, seconds=400)
    assert alive([core]) == []
    summary = summarise(events)
    assert (summary.reason, len(summary.iterations)) == ("iterations", 1)
    ended = {e.generation: e for e in events if isinstance(e, GenerationEnded)}
    assert ended["main"].reasoning_tokens + ended["main"].answer_tokens == MOST_TOKENS, "nothing lost, nothing twice"
    assert all(e.cause for e in ended.values()) and not any(e.candidate for e in ended.values())
    assert [e.reason for e in events if isinstance(e, IterationEnded)] in (["answered"], ["drained"])
    loads = [e for e in events if isinstance(e, EngineMeasured)]
    assert any(e.running >= 2 for e in loads) and any(e.prefix_hits for e in loads)
    assert "engine.died" in (system.state / "logs" / "engine.log").read_text()
