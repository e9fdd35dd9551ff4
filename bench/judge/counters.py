"""Where hardware counters get lost: `python -m bench.judge.counters`, on a machine with a GPU.

One small kernel is counted by the judge's own command several times: without a sandbox, as another user, in the
sandbox's namespaces, and there with each of its further layers added in turn. Prints JSON: ncu's path and version, and
for each way how many launches were counted, or why none was, in ncu's words.
"""
from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import bench.judge.counters
from common.judge.child import counting
from common.judge.protocol import Count, SpareSpec, encode
from common.judge.sandbox import bwrap

TASK = """
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x) + 1


def get_inputs():
    return [torch.randn(1 << 20)]


def get_init_inputs():
    return []
"""
LAYERS: tuple[tuple[str, ...], ...] = ((), ("limits",), ("limits", "user"), ("limits", "user", "filter"))
"""What is done to a candidate's process, see `jail`, in the sandbox's namespaces."""
_INSIDE = """
import base64, json, os, sys
from msgspec import msgpack
from common.judge import counters
from common.judge.child import counting, jail, seccomp
from common.judge.protocol import Count, SpareSpec
spec = msgpack.decode(base64.b64decode(sys.argv[1]), type=SpareSpec)
order = msgpack.decode(base64.b64decode(sys.argv[2]), type=Count)
os.chdir(sys.argv[3])
os.environ["HOME"] = sys.argv[3]
layers = sys.argv[4].split(",")
if "limits" in layers:
    jail.limit(spec)
if "user" in layers:
    os.setgroups([])
    os.setresgid(spec.uid, spec.uid, spec.uid)
    os.setresuid(spec.uid, spec.uid, spec.uid)
if "filter" in layers:
    seccomp.install()
counted = counting.count(order, spec)
print(json.dumps({"launches": len(counters.parse(counted.text)), "absent": counted.absent}))
"""


def spec(kind: str) -> SpareSpec:
    return SpareSpec(
        role=kind, index=0, cores=tuple(sorted(os.sched_getaffinity(0))), memory_mib=16384, address_space=False,
        processes=256, tmp_mib=1024, uid=1_900_000_000, isolated=True,
    )


def words(kind: str, folder: str, layers: Sequence[str], seconds: float) -> list[str]:
    source = TASK.replace("Model(", "ModelNew(")
    order = Count(task=TASK, source=source, files={}, precision="fp32", seconds=seconds)
    packed = [base64.b64encode(encode(part)).decode() for part in (spec(kind), order)]
    return [sys.executable, "-P", "-c", _INSIDE, *packed, folder, ",".join(layers)]


def found(command: Sequence[str], seconds: float) -> dict[str, Any]:
    """What the program inside says, or how it ended without a word."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 60, check=False,
            env=os.environ | bwrap.zygote_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"failed": str(error)[-500:]}
    took = {"seconds": round(time.monotonic() - began, 1)}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return took | {"failed": f"exit code {done.returncode}: {(done.stderr or done.stdout)[-800:]}"}
    return took | json.loads(lines[-1])


def diagnosis(kind: str, seconds: float) -> dict[str, Any]:
    ways: dict[str, Any] = {}
    for layers in ((), ("user",)) if os.geteuid() == 0 else ((),):
        with tempfile.TemporaryDirectory(prefix="specgen-counters-") as folder:
            os.chmod(folder, 0o777)
            ways |= told("no sandbox", layers, found(words(kind, folder, layers, seconds), seconds))
    program = bwrap.find()
    for layers in LAYERS if program else ():
        command = bwrap.inside(str(program), kind, words(kind, "/tmp", layers, seconds))
        ways |= told("namespaces", layers, found(command, seconds))
    return {"ncu": counting.find(), "version": version(), "ways": ways}


def told(way: str, layers: Sequence[str], what: dict[str, Any]) -> dict[str, Any]:
    """The way's own entry, which is said at once: those after it may take long."""
    entry = {", ".join((way, *layers)): what}
    print(json.dumps(entry), file=sys.stderr, flush=True)
    return entry


def version() -> str:
    """ncu's last line about itself; empty where there is none."""
    program = counting.find()
    if program is None:
        return ""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
    return (said.stdout.strip().splitlines() or [said.stderr[-200:]])[-1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.judge.counters", description=bench.judge.counters.__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: do the ways themselves work?")
    parser.add_argument("--seconds", type=float, default=30.0, help="longest for each")
    args = parser.parse_args()
    print(json.dumps(diagnosis(args.device, args.seconds), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
