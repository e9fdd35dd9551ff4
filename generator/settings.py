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
    retries: int = 3
    """How often a main generation goes on from its prefix after the endpoint broke it off."""
    ack_wait: float = 10.0
    """Seconds after which the run of a generator that died is given to another; renewed while it drives it."""
