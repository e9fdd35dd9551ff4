"""The three examples through `specgen run`, one after the other: `python -m bench.examples --device cuda --out DIR`.

Each plays its recording for this kind of device, one iteration. DIR gets each run's transcript, report and summary, and
`transcript.md`, the text that docs/gpu-run.md wants. The last thing printed is JSON with what every run found. A run
that fails says why and the others go on; the exit code is 0 where every run found a kernel that beats eager.
"""
from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NAMES = ("cauchy_smoother", "gated_rms_norm", "low_rank_update")
ENDING = 30.0
"""Seconds beyond its budget after which a run is ended from outside."""


def command(name: str, device: str, rate: float | None) -> list[str]:
    """What a user types after `specgen`, relative to the checkout."""
    example = Path("examples") / name
    task, recording = (f"{name}_large.py", "recording-cuda") if device == "cuda" else ("task.py", "recording")
    words = ["run", str(example / task), "--replay", str(example / recording), "--device", device, "--iterations", "1"]
    return [*words, *(["--rate", f"{rate:g}"] if rate else [])]


def run(name: str, device: str, rate: float | None, seconds: float, out: Path) -> dict[str, Any]:
    """One example; its figures, or what went wrong."""
    words = command(name, device, rate)
    folder = ROOT / "runs" / f"example-{name}-{time.time_ns()}"
    limits = ["--max-seconds", f"{seconds:g}", "--out", str(folder)]
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "common.cli", *words, *limits], cwd=ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=seconds + ENDING,
        )
        code, said = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        code, said = None, (late.stdout or b"").decode()
    text = f"$ specgen {' '.join(words)}\n{said.replace(f'{ROOT}/', '')}"
    (out / f"{name}.txt").write_text(text)
    row: dict[str, Any] = {
        "example": name, "exit_code": code, "took_seconds": round(time.monotonic() - began, 1), "transcript": text
    }
    for file in ("report.md", "summary.json"):
        if (folder / file).exists():
            shutil.copy(folder / file, out / f"{name}-{file}")
    if (folder / "summary.json").exists():
        summary = json.loads((folder / "summary.json").read_bytes())
        row |= {key: summary[key] for key in ("reason", "cause", "best", "candidates", "seconds", "wall_seconds")}
    return row


def host(device: str) -> dict[str, str]:
    """What the figures are of."""
    code = "import torch; print(torch.__version__)"
    torch = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    found = {"python": platform.python_version(), "torch": torch, "kernel": platform.release()}
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        found["gpu"] = subprocess.run(query, capture_output=True, text=True).stdout.strip().replace("\n", "; ")
    return found


def page(rows: Sequence[dict[str, Any]], on: dict[str, str]) -> str:
    """The transcripts as Markdown."""
    lines = [", ".join(f"{name} {value}" for name, value in on.items()) + ".", ""]
    for row in rows:
        lines += ["```console", row["transcript"].rstrip(), "```", ""]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.examples", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--rate", type=float, help="tokens a second (default: the recordings' own, 44)")
    parser.add_argument("--seconds", type=float, default=90.0, help="budget of each run (default 90)")
    parser.add_argument("--out", type=Path, required=True, help="folder for transcripts and reports")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = [run(name, args.device, args.rate, args.seconds, args.out) for name in args.names or NAMES]
    on = host(args.device)
    (args.out / "transcript.md").write_text(page(rows, on))
    report = {"host": on, "runs": [{k: v for k, v in row.items() if k != "transcript"} for row in rows]}
    (args.out / "examples.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))
    return int(any(row["exit_code"] != 0 for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
