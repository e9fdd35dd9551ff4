"""Time to first token of a prefix of 2k to 32k tokens: computed, from vLLM's own CPU offload, and from our pool.

One engine with an 8B shape and random weights a run (`--how ours` or `--how host`); between two requests its own cache
is emptied, so that what is found is found in the tier. With one token more, the prefix is in the engine's own cache
(`held`), which is what any request takes. Then the reasoning's own speed with stores on and paused.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.engine.model import QWEN3_8B
from bench.kv.child import PoolChild, pool_child
from kvstore.engine.config import transfer_config

LENGTHS = (2_048, 8_192, 16_384, 32_768)
_VOCABULARY = 49_280


def shape(folder: Path) -> Path:
    """A model directory with a configuration alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({
        **QWEN3_8B, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": _VOCABULARY,
        "rope_theta": 1e6, "torch_dtype": "bfloat16", "tie_word_embeddings": False, "bos_token_id": 1,
        "eos_token_id": 2, "rms_norm_eps": 1e-6, "hidden_act": "silu", "attention_bias": False,
    }))
    return folder


def engine(transfer: dict[str, Any]) -> Any:
    """vLLM in this process."""
    from vllm import LLM  # noqa: PLC0415 - on the GPU's machine alone

    return LLM(
        model=str(shape(Path(tempfile.mkdtemp(prefix="q8-")))), load_format="dummy", skip_tokenizer_init=True,
        dtype="bfloat16", max_model_len=34_000, max_num_batched_tokens=8_192, gpu_memory_utilization=0.6,
        max_num_seqs=4, enable_prefix_caching=True, kv_transfer_config=transfer, disable_log_stats=False,
    )


def ask(llm: Any, prompt: list[int], tokens: int = 1) -> tuple[float, list[int], int | None]:
    """Seconds, token ids, cached tokens."""
    from vllm import SamplingParams, TokensPrompt  # noqa: PLC0415

    params = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True, detokenize=False)
    since = time.perf_counter()
    (answer,) = llm.generate([TokensPrompt(prompt_token_ids=prompt)], params, use_tqdm=False)
    return time.perf_counter() - since, list(answer.outputs[0].token_ids), answer.num_cached_tokens


def prompt(length: int, seed: int) -> list[int]:
    return [(seed * 7_919 + n * 104_729 + n * n) % (_VOCABULARY - 100) + 50 for n in range(length)]


def settle(llm: Any) -> None:
    """Let stores end: an engine starts those of a step with the next one."""
    ask(llm, prompt(32, 3), 2)
    time.sleep(0.7)


def compare(llm: Any, how: str, report: Any) -> None:
    ask(llm, prompt(4_096, 1), 4)
    for length in LENGTHS:
        computed: list[float] = []
        loaded: list[float] = []
        held: list[float] = []
        found: list[dict[str, object]] = []
        for seed in range(10, 13):
            whole = prompt(length, seed + length)
            seconds, ids, _ = ask(llm, whole, 1)
            computed.append(seconds)
            settle(llm)
            llm.reset_prefix_cache()
            again, other, cached = ask(llm, whole, 1)
            loaded.append(again)
            found.append({"seconds": again, "cached": cached, "equal": ids == other})
            held.append(ask(llm, [*whole, 50], 1)[0])
            llm.reset_prefix_cache()
        fast = statistics.median(loaded)
        report(
            "first_token", how=how, tokens=length, computed_seconds=statistics.median(computed), seconds=fast,
            times_faster=statistics.median(computed) / fast, all=found, computed=computed, held=held,
            held_seconds=statistics.median(held),
        )


def reasoning(llm: Any, pool: PoolChild, report: Any) -> None:
    """Tokens a second of one stream, with stores and with the pool paused, in turns."""
    speeds: dict[str, list[float]] = {"storing": [], "paused": []}
    for turn in range(6):
        label = ("storing", "paused")[turn % 2]
        if label == "paused":
            pool.ask("reserve", bytes=1, quiet=True)
        seconds, ids, _ = ask(llm, prompt(2_048, 900 + turn), 1_024)
        speeds[label].append(len(ids) / seconds)
        if label == "paused":
            pool.ask("release")
    slower = 1 - statistics.median(speeds["storing"]) / statistics.median(speeds["paused"])
    report("reasoning", tokens_s=speeds, slowdown=slower, aim=0.02)


@contextlib.contextmanager
def ours(kind: str, **extra: int) -> Iterator[tuple[dict[str, Any], PoolChild]]:
    from bench.kv.gear import uuid  # noqa: PLC0415 - needs the GPU

    folder = Path(tempfile.mkdtemp(prefix="kv-"))
    with pool_child(folder, "--kind", kind, "--device", uuid(), "--most-mib", "24576") as pool:
        pool.wait_chunks(96)
        yield json.loads(transfer_config(str(folder), **extra)), pool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--how", choices=("ours", "host"), required=True)
    parser.add_argument("--kind", choices=("vmm", "ipc"), default="vmm")
    parser.add_argument("--store-tokens", type=int, help="stored at once, where not as usual")
    parser.add_argument("--reasoning-alone", action="store_true", help="without the times to first token")
    args = parser.parse_args()
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from bench.kv.gear import report  # noqa: PLC0415

    if args.how == "host":
        own = {"cpu_bytes_to_use": 24 * 2**30, "spec_name": "CPUOffloadingSpec"}
        host = {"kv_connector": "OffloadingConnector", "kv_role": "kv_both", "kv_connector_extra_config": own}
        compare(engine(host), "host", report)
        return
    extra: dict[str, int] = {} if args.store_tokens is None else {"store_tokens": args.store_tokens}
    with ours(args.kind, **extra) as (transfer, pool):
        llm = engine(transfer)
        if not args.reasoning_alone:
            compare(llm, f"ours {args.kind}", report)
        reasoning(llm, pool, lambda part, **found: report(part, **found, **extra))
        report("pool", status=pool.ask("status"), events=pool.events[-20:])


if __name__ == "__main__":
    main()
