"""The command line and the environment vLLM is started with. Pure.

What the method needs of an engine: prefix caching, so that a fork does not compute its prefix again; scheduling by
priority, so that forks never hold up the reasoning; and cached tokens in the usage, so that both can be seen.
"""
from __future__ import annotations

import json
from pathlib import PurePath

from generator.engine.settings import EngineSettings

_MODULE = "vllm.entrypoints.openai.api_server"
_CPU = ("--enforce-eager", "--block-size", "32")
"""Compiling takes minutes there for a fifth more speed; blocks must be multiples of 32."""


def served_name(model: str) -> str:
    """What the model is called at the endpoint: the directory's name, or the hub's own."""
    return PurePath(model).name if model.startswith((".", "/", "~")) else model


def command(settings: EngineSettings, interpreter: str, *, cpu: bool, model: str, port: int) -> tuple[str, ...]:
    """`model` is a resolved path or a hub's name. `-P` keeps the working directory out of vLLM's imports."""
    return (
        interpreter, "-P", "-m", _MODULE, "--model", model, "--served-model-name", served_name(settings.model),
        "--host", settings.host, "--port", str(port), "--enable-prefix-caching", "--enable-prompt-tokens-details",
        "--scheduling-policy", "priority", "--disable-uvicorn-access-log",
        *(_CPU if cpu else ()), *_speculative(settings), *settings.args,
    )


def environment(settings: EngineSettings, *, cpu: bool, local: bool) -> dict[str, str]:
    """Variables beside the caller's own. `local`: the model is a directory, so nothing is to be fetched."""
    env = {"VLLM_NO_USAGE_STATS": "1"}
    if local:
        env["HF_HUB_OFFLINE"] = "1"
    if cpu:
        # A KV connector makes vLLM set cores apart, which changes thread counts and with them greedy outputs.
        env |= {"VLLM_CPU_KVCACHE_SPACE": str(settings.kv_gib), "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
        # The model runs in the core's process: a process less that imports vLLM for a quarter of a minute.
        env["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    if settings.devices:
        # Numbered as nvidia-smi does: by default CUDA puts the fastest first, where GPUs are unlike.
        env |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, settings.devices))}
    return env


def _speculative(settings: EngineSettings) -> tuple[str, ...]:
    if settings.prompt_lookup == "off":
        return ()
    config: dict[str, object] = {
        "method": settings.prompt_lookup, "num_speculative_tokens": settings.prompt_lookup_tokens
    }
    if settings.prompt_lookup == "ngram":
        config |= {"prompt_lookup_min": settings.prompt_lookup_ngram, "prompt_lookup_max": settings.prompt_lookup_ngram}
    return ("--speculative-config", json.dumps(config))
