"""Every part on one GPU, each in a process of its own with a limit of its own: `python -m bench.kv.gpu`.

Results are JSON lines on stdout and in $OUT. A part that fails leaves its error and the end of what it said, and the
others run all the same. Needs vLLM 0.22.1 for `first_token`, and msgspec and structlog beside it.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

PARTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "copies": (60, ("bench.kv.copies",)),
    "copies-layers": (45, ("bench.kv.copies", "--layers-apart")),
    "copies-ipc": (45, ("bench.kv.copies", "--kind", "ipc")),
    "candidate": (60, ("bench.kv.candidate",)),
    "disturbance": (60, ("bench.kv.disturbance",)),
    "ours": (170, ("bench.kv.first_token", "--how", "ours")),
    "host": (130, ("bench.kv.first_token", "--how", "host")),
}
"""Part: seconds at most, module and arguments."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=470.0, help="for all of them")
    args = parser.parse_args()
    out = Path(os.environ.get("OUT", "."))
    end = time.monotonic() + args.seconds
    say(out, part="machine", python=platform.python_version(), **machine())
    for name in args.parts or PARTS:
        limit, command = PARTS[name]
        run(out, name, command, min(limit, end - time.monotonic()))


def run(out: Path, name: str, command: tuple[str, ...], limit: float) -> None:
    if limit < 10:
        say(out, part=name, error="no time left for it")
        return
    since = time.monotonic()
    with (out / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
        try:
            output, _ = process.communicate(timeout=limit)
            error = f"code {process.returncode}" if process.returncode else ""
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, _ = process.communicate()
            error = f"took more than {limit:.0f} s"
    sys.stdout.buffer.write(output)
    tail = (out / f"{name}.log").read_text(errors="replace")[-1_500:] if error else ""
    say(out, part=name, seconds=time.monotonic() - since, error=error, tail=tail)


def machine() -> dict[str, object]:
    """What it ran on, as far as it says."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    versions = "import torch, triton; print(torch.__version__, torch.version.cuda, triton.__version__)"
    found = {}
    for name, command in (("gpu", query), ("versions", [sys.executable, "-c", versions])):
        done = subprocess.run(command, capture_output=True, text=True)
        found[name] = (done.stdout or done.stderr).strip()[-300:]
    return dict(found)


def say(out: Path, **line: object) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    with (out / "parts.jsonl").open("a") as file:
        print(text, file=file)


if __name__ == "__main__":
    main()
