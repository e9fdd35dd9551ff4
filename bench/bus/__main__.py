"""`python -m bench.bus`: measure the bus on a server of its own and print JSON. About half a minute by default."""
from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
from typing import Any

from bench.bus import dispatch, records, tokens
from bench.bus.tokens import Load
from common.bus import Bus, BusSettings, start_server
from common.logs import configure


async def measure(args: argparse.Namespace, state_dir: str) -> dict[str, Any]:
    load = Load(args.streams, args.rate, args.seconds)
    async with await start_server(BusSettings(state_dir=state_dir)) as server:
        settings = server.settings
        result: dict[str, Any] = {
            "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
            "token_path": {"streams": args.streams, "tokens_per_second_each": args.rate, "seconds": args.seconds},
        }
        result["token_path"]["live"] = await tokens.measure(settings, load, stored=False)
        result["token_path"]["from_memory_stream"] = await tokens.measure(settings, load, stored=True)
        async with await Bus.connect("bench", settings) as bus:
            result["records"] = await records.measure(bus, args.records)
            result["dispatch"] = {
                "workers": dispatch.WORKERS, "job_ms": 1000 * dispatch.JOB_SECONDS, "waiting_at_start": args.jobs,
                "by_priority": await dispatch.measure(settings, jobs=args.jobs, priorities=True),
                "one_queue": await dispatch.measure(settings, jobs=args.jobs, priorities=False),
            }  # fmt: skip
            result["kill_9_of_the_server"] = await records.recovery(bus, server, args.kills)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.bus", description=__doc__)
    parser.add_argument("--streams", type=int, default=512, help="generations that stream at once (default 512)")
    parser.add_argument("--rate", type=float, default=20, help="tokens a second of each (default 20)")
    parser.add_argument("--seconds", type=float, default=4, help="how long they stream (default 4)")
    parser.add_argument("--records", type=int, default=2048, help="durable messages (default 2048)")
    parser.add_argument("--jobs", type=int, default=600, help="ordinary jobs that saturate the workers (default 600)")
    parser.add_argument("--kills", type=int, default=3, help="kills of the server (default 3)")
    args = parser.parse_args()
    os.environ.setdefault("SPECGEN_LOG", "error")
    configure("bench")
    with tempfile.TemporaryDirectory(prefix="specgen-bench-") as state_dir:
        print(json.dumps(asyncio.run(measure(args, state_dir)), indent=2))


if __name__ == "__main__":
    main()
