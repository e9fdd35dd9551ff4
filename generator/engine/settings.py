"""Settings of the engine that the project starts itself, section `engine`."""
from __future__ import annotations

from typing import Literal

import msgspec


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    model: str = ""
    """A directory with a model, or a name on a model hub; `--model` gives it."""
    args: tuple[str, ...] = ()
    """Further arguments for vLLM's server, after our own, so that they win. `--engine-arg` gives them."""
    python: str = ""
    """Interpreter of the environment that holds vLLM. Empty: this one if it has vLLM, else that of `make engine`."""
    kind: Literal["auto", "cpu", "cuda"] = "auto"
    """What it runs on; `auto` takes `cuda` where the NVIDIA driver's device is there."""
    devices: tuple[int, ...] = ()
    """Indices of the GPUs it may use, all where empty. One that times kernels should not be among them."""
    host: str = "127.0.0.1"
    """Address it listens on."""
    kv_gib: int = 4
    """CPU: memory for its KV cache, GiB. On a GPU vLLM takes nine tenths of the memory (`--gpu-memory-utilization`)."""
    prompt_lookup: Literal["off", "ngram", "suffix"] = "off"
    """Speculative decoding out of the request's own text: `ngram` proposes what followed the last tokens' former
    occurrence, `suffix` what most often did (needs the package `arctic-inference` beside vLLM)."""
    prompt_lookup_tokens: int = 12
    """Tokens proposed a step."""
    prompt_lookup_ngram: int = 3
    """`ngram`: tokens that must have occurred before."""
    start_seconds: float = 1800.0
    """How long it may take to load the model, compile and answer for the first time."""

    def __post_init__(self) -> None:
        for name in ("kv_gib", "prompt_lookup_tokens", "prompt_lookup_ngram", "start_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0")
