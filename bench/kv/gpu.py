"""Every part on one GPU, or with a second one that lends its memory: `python -m bench.kv.gpu [--lender 1]`.

Each part is a process of its own with a limit of its own. One that fails leaves its error and the end of what it said,
and the others run all the same. Results are JSON lines on stdout as they come, and all of them in $OUT/kv.json at the
end. `ours`, `host`, `killed`, `each-block` and `together` need vLLM 0.22.1; msgspec and structlog are needed beside it.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

PARTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "copies": (90, ("bench.kv.copies",)),
    "copies-layers": (60, ("bench.kv.copies", "--layers-apart")),
    "copies-ipc": (60, ("bench.kv.copies", "--kind", "ipc")),
    "ours": (240, ("bench.kv.first_token", "--how", "ours")),
    "host": (200, ("bench.kv.first_token", "--how", "host")),
    "candidate": (60, ("bench.kv.candidate",)),
    "disturbance": (90, ("bench.kv.disturbance",)),
    "killed": (170, ("bench.kv.killed",)),
    "each-block": (200, ("bench.kv.first_token", "--how", "ours", "--store-tokens", "0", "--reasoning-alone")),
    "together": (200, ("bench.kv.first_token", "--how", "ours", "--reasoning-alone")),
}
"""Part: seconds at most, module and arguments."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=470.0, help="for all of them")
    parser.add_argument("--lender", type=int, default=0, help="the GPU that lends; the engine is on the first")
    args = parser.parse_args()
    if unknown := [name for name in args.parts if name not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    os.environ |= {"KV_BENCH_LENDER": str(args.lender), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    out = Path(os.environ.get("OUT", "."))
    end = time.monotonic() + args.seconds
    lines = [say(part="machine", python=platform.python_version(), lender=args.lender, **machine())]
    for name in args.parts or PARTS:
        limit, command = PARTS[name]
        lines += run(out, name, command, min(limit, end - time.monotonic()))
        (out / "kv.json").write_text(json.dumps(lines, indent=1))


def run(out: Path, name: str, command: tuple[str, ...], limit: float) -> list[dict[str, object]]:
    """What the part reported, and how it ended."""
    if limit < 10:
        return [say(part=name, error="no time left for it")]
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
    found = [say(**line) for line in reported(output)]
    tail = (out / f"{name}.log").read_text(errors="replace")[-1_500:] if error else ""
    return [*found, say(part=name, ended=True, seconds=time.monotonic() - since, error=error, tail=tail)]


def reported(output: bytes) -> list[dict[str, object]]:
    """The JSON lines among what a part wrote: libraries write there too."""
    found = []
    for line in output.decode(errors="replace").splitlines():
        if line.startswith('{"part":'):
            with contextlib.suppress(json.JSONDecodeError):  # cut off with its process
                found.append(json.loads(line))
    return found


def machine() -> dict[str, object]:
    """What it ran on, as far as it says."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    versions = "import torch, triton; print(torch.__version__, torch.version.cuda, triton.__version__)"
    found = {}
    for name, command in (("gpu", query), ("versions", [sys.executable, "-c", versions])):
        try:
            done = subprocess.run(command, capture_output=True, text=True)
            found[name] = (done.stdout or done.stderr).strip()[-300:]
        except FileNotFoundError:
            found[name] = f"no {command[0]}"
    return dict(found)


def say(**line: object) -> dict[str, object]:
    print(json.dumps(line), flush=True)
    return line


if __name__ == "__main__":
    main()
