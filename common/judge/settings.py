"""Limits and budgets of the judge."""
from __future__ import annotations

import os
from pathlib import Path

import msgspec

from common.folder import make_folder


class JudgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    cache: str = ""
    """Folder of built extensions and precompiled headers; empty means `~/.cache/specgen/judge`."""
    cache_mib: int = 8192
    """The least recently used entries go when the cache is larger."""
    build_jobs: int = 2
    """Compilers at once, over all candidates of one service."""
    build_seconds: float = 300.0
    """One compiler run; longer is a compile_error."""
    foresee_seconds: float = 30.0
    """For Triton to compile a candidate's kernels before it has a device; 0: they are compiled on the device."""
    spares: int = 3
    """Warm processes kept ready: a validation takes one, and the profile that may follow at once two."""
    spare_seconds: float = 60.0
    """How long a spare may take to be ready; longer is a fault."""
    load_seconds: float = 60.0
    """Import of a candidate, and building its model, each; builds not counted."""
    call_seconds: float = 30.0
    """One forward call; longer is a timeout."""
    validate_seconds: float = 300.0
    """All of a validation."""
    profile_seconds: float = 300.0
    """All pairs of a profiling: after so long those there are count, at least four."""
    memory_mib: int = 8192
    """Host memory of a candidate's processes together (beside inputs and outputs)."""
    processes: int = 256
    """Processes and threads of a candidate."""
    tmp_mib: int = 1024
    """Size of a candidate's /tmp and of its /dev/shm, each."""
    secret_uses: int = 16
    """Candidates of one task judged with the same secret inputs before new ones are drawn."""
    pairs: int = 8
    """Least number of timed pairs."""
    pairs_most: int = 40
    time_seconds: float = 2.0
    """Budget of the timed pairs, at least `pairs` of them, unless `profile_seconds` ends first."""
    target_width: float = 0.04
    """Stop timing once the interval is narrower than this share of the speedup; with 0 never for that."""
    confidence: float = 0.95
    counters: bool = False
    """GPUs: have what passes run once more under ncu, where it is installed and permitted, for its counters."""
    counters_seconds: float = 120.0
    """Longest for that; torch is imported again, and each launch played back several times."""
    compile_baseline: bool = False
    """Time what passes against the task's own model under torch.compile as well: a second ratio in the record."""

    def __post_init__(self) -> None:
        counts = ("cache_mib", "build_jobs", "memory_mib", "processes", "tmp_mib", "secret_uses", "pairs", "pairs_most")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in self.__struct_fields__:
            if name.endswith("_seconds") and not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative")
        if not 0 < self.confidence < 1:
            raise ValueError("confidence must be between 0 and 1, both excluded")

    @property
    def cache_folder(self) -> Path:
        if self.cache:
            return Path(self.cache).expanduser().resolve()
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(base).expanduser().resolve() / "specgen" / "judge"

    def make_cache(self) -> None:
        """UsageError where it cannot be made, or not be written into."""
        make_folder(self.cache_folder, "SPECGEN_JUDGE_CACHE names another", role="the judge's cache ", mode=0o755)


def sandbox_off() -> bool:
    """Whether the operator switched the sandbox off by name."""
    return os.environ.get("SPECGEN_SANDBOX", "").lower() == "off"
