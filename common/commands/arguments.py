"""Options that several commands share, and what they become."""
from __future__ import annotations

import argparse
import re
import secrets
import time
from pathlib import Path

from common.devices import DeviceSettings, discover
from common.errors import UsageError
from common.messages import Budget, Llm, RunSubmitted
from common.task import PRECISIONS, read_task

STOPS = ("mean", "first", "best", "never", "confident")
STRATEGIES = ("refine", "explore")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What a run is: task, model, budget, policies."""
    parser.add_argument("task", type=Path, metavar="TASK.py", help="KernelBench-style file with the module to speed up")
    model = parser.add_argument_group("the model")
    model.add_argument("--llm", action="append", default=[], metavar="URL",
                       help="OpenAI-compatible endpoint, e.g. http://127.0.0.1:8000; once more, or after a comma, for "
                            "each further replica of it")
    model.add_argument("--model", default="", metavar="NAME",
                       help="model at that endpoint (default: its only one), or the directory --engine serves")
    model.add_argument("--api-key-env", metavar="VAR", help="environment variable that holds the endpoint's key")
    kernel = parser.add_argument_group("the kernel")
    kernel.add_argument("--device", choices=("cpu", "cuda"), help="what it is for (default: settings, cpu)")
    kernel.add_argument("--precision", choices=PRECISIONS, default="fp32", help="lowest allowed (default fp32)")
    kernel.add_argument("--allow-library", action="store_true", help="let a kernel of library calls only be the result")
    budget = parser.add_argument_group("the budget: whatever is reached first ends the run")
    budget.add_argument("--iterations", type=int, default=3, metavar="N", help="default 3")
    budget.add_argument("--max-tokens", type=int, metavar="N", help="generated tokens, forks included")
    budget.add_argument("--max-seconds", type=float, metavar="S", help="wall time")
    policy = parser.add_argument_group("policies")
    policy.add_argument("--strategy", choices=STRATEGIES, default="refine",
                        help="the next prompt shows the best kernel (refine, the default) or asks for another approach")
    policy.add_argument("--stop", choices=STOPS, default="mean",
                        help="a measured kernel ends its iteration if it is faster than the earlier ones' mean (the "
                             "default) or best, if it is the first, never, or if its whole interval clears the mean")
    policy.add_argument("--no-speculate", action="store_true", help="no forks: judge main answers only")
    policy.add_argument("--drain-seconds", type=float, default=60.0, metavar="S",
                        help="how long an iteration waits for results after its answer (default 60)")
    share = parser.add_argument_group("on a system with other runs")
    share.add_argument("--campaign", default="", metavar="NAME", help="runs that share one part of the devices")
    share.add_argument("--weight", type=float, default=1.0, metavar="W", help="the size of that part (default 1)")
    share.add_argument("--priority", type=int, default=0, metavar="N", help="a higher one goes first (default 0)")


def endpoints(args: argparse.Namespace) -> tuple[str, ...]:
    """The addresses that `--llm` names, in order; none where another source is named."""
    return tuple(url.strip() for given in args.llm for url in given.split(","))


def submission(args: argparse.Namespace, devices: DeviceSettings) -> RunSubmitted:
    """The message a command line becomes. UsageError where something cannot be used."""
    url, *replicas = endpoints(args) or ("",)
    budget = _budget(args)
    if not args.drain_seconds >= 0:
        raise UsageError(f"--drain-seconds is {args.drain_seconds:g}: write 0 or more")
    if not 0 < args.weight < float("inf"):
        raise UsageError(f"--weight is {args.weight:g}: a share must be more than zero")
    task = read_task(args.task, precision=args.precision, allow_library=args.allow_library)
    return RunSubmitted(
        run=new_run_id(task.name), at=time.time(), task=task, budget=budget,
        llm=Llm(url=url, model=args.model, api_key_env=args.api_key_env, replicas=tuple(replicas)),
        strategy=args.strategy, device=devices.kind, hardware=hardware(devices), speculate=not args.no_speculate,
        stop=args.stop, drain_seconds=args.drain_seconds, campaign=args.campaign, weight=args.weight,
        priority=args.priority,
    )


def check_endpoint_arguments(args: argparse.Namespace) -> None:
    """UsageError unless exactly one source of generations is named, and well."""
    sources = (args.llm, getattr(args, "replay", None), getattr(args, "engine", None))
    if sum(map(bool, sources)) != 1:
        raise UsageError("name one model: --llm URL [--model NAME], --engine vllm --model DIR, or --replay RECORDING")
    if getattr(args, "engine_arg", None) and not args.engine:
        raise UsageError("--engine-arg goes with --engine")
    urls = endpoints(args)
    for url in urls:
        if not re.match(r"https?://[^/\s]+", url):
            raise UsageError(f"--llm {url} is no address: write http://HOST:PORT")
        if urls.count(url) > 1:
            raise UsageError(f"--llm {url} is named twice: a replica counts once")


def _budget(args: argparse.Namespace) -> Budget:
    for name in ("iterations", "max_tokens", "max_seconds"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise UsageError(f"--{name.replace('_', '-')} is {value:g}: a budget must be more than zero")
    return Budget(iterations=args.iterations, tokens=args.max_tokens, seconds=args.max_seconds)


def new_run_id(task: str) -> str:
    return f"{task}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def hardware(settings: DeviceSettings) -> str:
    """What the prompt says about the device. UsageError where there is no such device."""
    device = discover(settings)[-1]
    if device.kind == "cuda":
        return f"one {device.name}"
    return f"{len(device.cores)} core(s) of {_cpu_name()}"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
    wide = [flag for flag in ("avx2", "avx512f", "amx_tile") if flag in fields.get("flags", "").split()]
    return " ".join([fields.get("model name", "a CPU"), *wide])

