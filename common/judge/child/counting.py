"""Counting, in the candidate's own sandbox: `ncu` and what it starts are this process's children, with its rights."""
from __future__ import annotations

import glob
import shutil
import subprocess
import sys
from pathlib import Path

from common.judge import counters
from common.judge.child.counted import Job
from common.judge.protocol import Count, Counted, SpareSpec, encode

_JOB, _LOG = Path("count.job"), Path("count.csv")
_ELSEWHERE = ("/usr/local/cuda*/bin/ncu", "/opt/nvidia/nsight-compute/*/ncu")
_MOST = 1 << 20
"""Characters of ncu's text."""


def count(order: Count, spec: SpareSpec) -> Counted:
    """ncu's text, or why there is none."""
    program = find()
    if program is None:
        return Counted(absent="ncu is not installed")
    _JOB.write_bytes(encode(Job(spec=spec, order=order)))
    target = [sys.executable, "-P", "-m", "common.judge.child.counted", str(_JOB)]
    try:
        subprocess.run(counters.command(program, str(_LOG), target), timeout=order.seconds, check=False)
    except subprocess.TimeoutExpired:
        return Counted(absent=f"no end within {order.seconds:.0f} s")
    except OSError as error:
        return Counted(absent=f"{program} cannot be run: {error.strerror}")
    return Counted(text=_LOG.read_text(errors="replace")[:_MOST] if _LOG.exists() else "")


def find() -> str | None:
    """The program, also where it is installed beside the PATH; the newest."""
    found = [path for pattern in _ELSEWHERE for path in sorted(glob.glob(pattern))]
    return shutil.which("ncu") or (found[-1] if found else None)
