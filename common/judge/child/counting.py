"""Counting, in the candidate's own sandbox: `ncu` and what it starts are this process's children, with its rights."""
from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

from common.judge import counters
from common.judge.child.counted import Job
from common.judge.protocol import Count, Counted, SpareSpec, encode

_JOB, _LOG, _SAID = Path("count.job"), Path("count.csv"), Path("count.out")
_ELSEWHERE = ("/usr/local/cuda*/bin/ncu", "/opt/nvidia/nsight-compute/*/ncu")
_MOST = 1 << 20
"""Characters of ncu's text."""


def count(order: Count, spec: SpareSpec) -> Counted:
    """ncu's text, or why it has no launches, in its own words. Files are left in the working directory."""
    program = find()
    if program is None:
        return Counted(absent="ncu is not installed")
    _JOB.write_bytes(encode(Job(spec=spec, order=order)))
    target = [sys.executable, "-P", "-m", "common.judge.child.counted", str(_JOB)]
    command = counters.command(program, str(_LOG), target)
    try:
        with _SAID.open("wb") as said:
            done = subprocess.run(
                command, timeout=order.seconds, check=False, env=_environment(), stdout=said, stderr=subprocess.STDOUT
            )
    except subprocess.TimeoutExpired:
        return Counted(absent=f"no end within {order.seconds:g} s: {counters.words(_read(_LOG), _read(_SAID))}")
    except OSError as error:
        return Counted(absent=f"{program} cannot be run: {error.strerror}")
    text = _read(_LOG)[:_MOST]
    if counters.parse(text):
        return Counted(text=text)
    return Counted(absent=counters.problem(text, _read(_SAID), done.returncode))


def _environment() -> dict[str, str]:
    """ncu locks a file in TMPDIR and keeps its own under HOME: folders of this process's own."""
    return os.environ | {"TMPDIR": os.getcwd(), "HOME": os.getcwd()}


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def find() -> str | None:
    """The program, also where it is installed beside the PATH; the newest."""
    found = [path for pattern in _ELSEWHERE for path in sorted(glob.glob(pattern))]
    return shutil.which("ncu") or (found[-1] if found else None)
