"""An engine's load out of its metrics."""
from __future__ import annotations

import aiohttp
import pytest

from generator.engine.metrics import Load, fetch, parse
from generator.engine.watch import measured

TEXT = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1.2e+04
vllm:prefix_cache_queries_created{engine="0",model_name="m"} 1.7954662829521847e+09
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 9000.0
vllm:num_preemptions_total{engine="0",model_name="m"} 4.0
process_open_fds 34.0
"""
LOAD = Load(running=4, waiting=2, cache_usage=0.5, prefix_queries=12_000, prefix_hits=9_000, preemptions=4)


def test_the_load_is_read_and_engines_behind_one_server_are_summed_up() -> None:
    assert parse(TEXT) == LOAD
    assert LOAD.hit_rate == 0.75


@pytest.mark.parametrize("text", ["", "process_open_fds 34.0", "<html>not found</html>"])
def test_another_servers_text_is_no_load(text: str) -> None:
    assert parse(text) is None


def test_an_engine_that_has_done_nothing_has_no_hit_rate() -> None:
    idle = parse("vllm:num_requests_running 0.0")
    assert idle == Load(running=0, waiting=0, cache_usage=0.0, prefix_queries=0, prefix_hits=0, preemptions=0)
    assert idle.hit_rate == 0.0


def test_a_load_goes_to_its_runs_subject() -> None:
    message = measured("r1", LOAD, 5.0)
    assert message.subject() == "specgen.v1.ops.r1.engine.measured"
    assert (message.running, message.cache_usage, message.prefix_hits) == (4, 0.5, 9_000)


async def test_an_engine_that_is_away_has_no_load() -> None:
    async with aiohttp.ClientSession() as session:
        assert await fetch(session, "http://127.0.0.1:9") is None
