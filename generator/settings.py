from __future__ import annotations

import msgspec


class GeneratorSettings(msgspec.Struct, frozen=True, kw_only=True):
    concurrent_runs: int = 8
    """Runs one generator drives at once."""
    prompt_tokens: int = 16_000
    """Limit of a prompt; what does not fit is left out from the oldest result on."""
    max_tokens: int = 32_768
    """Most tokens of a main generation, reasoning and answer."""
    temperature: float = 0.6
    top_p: float = 0.95
    fork_max_tokens: int = 8_192
    fork_temperature: float = 0.1
    fork_top_p: float = 1.0
    forks_per_iteration: int = 16
    """Most fork generations an iteration is granted, whatever is asked."""
    journal_seconds: float = 1.0
    """How often a generation's tokens are written to disk."""
    endpoint_seconds: float = 300.0
    """How long an endpoint may be away, or refuse for overload, before a generation fails: an engine that was killed
    loads its model again."""
    idle_seconds: float = 60.0
    """Silence within a stream after which it counts as broken off."""
    metrics_seconds: float = 1.0
    """How often an engine is asked for its load."""
    replica_seconds: float = 2.0
    """Several replicas: how long one may be away, or refuse for overload, before a generation goes to another."""
    shared_pool: bool = False
    """Several replicas: whether they share a KV pool, so that each can load what another has computed."""
    load_seconds_per_token: float = 5e-6
    """What a prefix costs that is loaded from a pool: the 147 kB a token of an 8B model over the 36 GB/s of a GPU's
    way to host memory. A pool in a GPU's memory is faster."""
    compute_seconds_per_token: float = 3e-5
    """What a prefix costs that is computed: 51, 222, 512 and 1,280 ms were measured for 2,048, 8,192, 16,384 and 32,768
    tokens of an 8B model on an H100. Counts until the run's own main generations have shown it."""
    waiting_seconds: float = 1.0
    """By which each request that waits at a replica delays a further one. An assumption."""
    running_seconds: float = 0.05
    """The same of each request that is computed there. An assumption: two steps of an engine."""
    retries: int = 3
    """How often a main generation goes on from its prefix after the endpoint broke it off."""
    ack_wait: float = 10.0
    """Seconds after which the run of a generator that died is given to another; renewed while it drives it."""

    def __post_init__(self) -> None:
        if self.concurrent_runs < 1:
            raise ValueError("concurrent_runs must be at least 1")
