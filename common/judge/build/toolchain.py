"""Which compilers and libraries build an extension, and the digest under which their results are kept."""
from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from functools import cached_property
from pathlib import Path

import msgspec

from common.judge.protocol import Facts


class Toolchain:
    """The compilers of this host. `kind` is `cpu` or `cuda`."""

    def __init__(self, facts: Facts, kind: str) -> None:
        self.facts = facts
        self.kind = kind
        self.cxx = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++") or "g++"
        self.nvcc = str(Path(facts.cuda_home) / "bin" / "nvcc") if facts.cuda_home else ""

    @cached_property
    def capabilities(self) -> tuple[str, ...]:
        """Compute capabilities of this host's GPUs, `90` for 9.0."""
        return _capabilities()

    @cached_property
    def arch_flags(self) -> tuple[str, ...]:
        """nvcc's targets: the GPUs of this host and no other."""
        words: list[str] = []
        for capability in map(_as_nvcc_spells, self.capabilities):
            words += ["-gencode", f"arch=compute_{capability},code=sm_{capability}"]
        return tuple(words)

    @cached_property
    def digest(self) -> str:
        """Compilers, torch, Python, this processor (for -march=native) and the GPUs."""
        facts = (self.facts, self.version, _first_line([self.nvcc, "--version"], 4), self.arch_flags, _processor())
        return hashlib.sha256(msgspec.msgpack.encode(facts)).hexdigest()

    @cached_property
    def version(self) -> str:
        return _first_line([self.cxx, "--version"], 1)


def _first_line(words: list[str], lines: int) -> str:
    if not words[0] or not shutil.which(words[0]):
        return ""
    text = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stdout
    return "\n".join(text.splitlines()[:lines])


def _processor() -> str:
    """Architecture and instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    known = ("model name", "flags", "Features", "CPU part")
    return platform.machine() + "".join(sorted({line for line in lines if line.startswith(known)}))


def _capabilities() -> tuple[str, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=compute_cap", "--format=csv,noheader"]
    text = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False).stdout
    found = sorted({line.strip().replace(".", "") for line in text.splitlines() if line.strip()})
    return tuple(item for item in found if item.isdigit())


def _as_nvcc_spells(capability: str) -> str:
    """`90a` has what only that very chip has."""
    return f"{capability}a" if capability in ("90", "100", "103", "120") else capability
