"""What is asked for on the command line."""
from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from common.commands.arguments import STOPS
from common.errors import UsageError

ROOT = Path(__file__).parents[2]
TINY = ROOT / ".venv-engine" / "tiny"
CPU_RECORDINGS = ("examples/cauchy_smoother/recording",)
GPU_RECORDINGS = tuple(
    f"examples/{name}/recording-cuda" for name in ("cauchy_smoother", "gated_rms_norm", "low_rank_update")
)
PARTS = ("off", "on")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """UsageError where something is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.replayed", description="Whole runs of recorded words on a real engine, off and on."
    )
    parser.add_argument("--tiny", action="store_true", help="on a CPU, with the small model of `make engine`")
    parser.add_argument("--model", type=Path, metavar="DIR", help="what `python -m bench.engine.model qwen3-8b` wrote")
    parser.add_argument(
        "--recordings", "--traces", nargs="+", metavar="NAME", help="folders, or FILE.jsonl.gz#TASK of traces; "
        "each is a run of its own, all at once (default: those of the examples)",
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="of each run (default: as many as were recorded)")
    parser.add_argument("--parts", default=",".join(PARTS), help="speculation off and on, in this order")
    parser.add_argument("--engine-device", type=int, default=0, metavar="GPU", help="index, as nvidia-smi numbers them")
    parser.add_argument("--judge-device", type=int, default=0, metavar="GPU", help="may be the engine's own")
    parser.add_argument("--validators", type=int, metavar="N", help="as for `specgen run`")
    parser.add_argument("--profilers", type=int, metavar="N", help="as for `specgen run`")
    parser.add_argument("--stop", choices=STOPS, default="mean", help="as for `specgen run`")
    parser.add_argument("--drain-seconds", type=float, default=60.0, metavar="S", help="as for `specgen run`")
    parser.add_argument(
        "--warm-seconds", type=float, default=15.0, metavar="S", help="for the judges, before a part's runs begin"
    )
    parser.add_argument("--kv", action="store_true", help="a KV pool on the judging device, and the connector in vLLM")
    parser.add_argument("--seconds", type=float, default=530.0, help="for everything together")
    parser.add_argument("--out", type=Path, metavar="DIR", help="logs and reports (default: runs/replayed-<time>)")
    options = parser.parse_args(argv)
    options.model = TINY if options.tiny else options.model
    if options.model is None or not options.model.exists():
        raise UsageError("no model: name one with --model DIR, or use --tiny after `make engine`")
    options.recordings = options.recordings or [
        str(ROOT / name) for name in (CPU_RECORDINGS if options.tiny else GPU_RECORDINGS)
    ]
    options.parts = options.parts.split(",")
    if sorted(options.parts) != sorted(set(options.parts) & set(PARTS)):
        raise UsageError(f"--parts {','.join(options.parts)}: name {' and '.join(PARTS)}, each at most once")
    options.out = (options.out or ROOT / "runs" / f"replayed-{time.time_ns()}").absolute()
    return options
