"""Which device the engine runs on, which one judges, and what both are told of it."""
from __future__ import annotations

import argparse
import os
from pathlib import Path

from bench.engine.server import Host
from common.devices import DeviceSettings, discover, other_cores
from common.settings import CONFIG_VARIABLE, load
from common.supervise import Service, python_service
from generator.engine.interpreter import find
from kvstore.engine.config import transfer_config

ALONE, SHARED = "0.85", "0.35"
"""Share of its GPU's memory that the engine takes, by whether that GPU judges too."""
CONTEXT, TINY_CONTEXT = "36864", "8192"


def prepare(options: argparse.Namespace) -> DeviceSettings:
    """The devices that judge; services started from now on see no other GPU.

    On a CPU, whatever else runs is kept off the cores that time kernels, this process too.
    """
    if not options.tiny:
        os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(options.judge_device)}
        return load("devices", DeviceSettings, kind="cuda")
    devices = load("devices", DeviceSettings, kind="cpu")
    cores = sorted(os.sched_getaffinity(0))
    os.environ.setdefault("SPECGEN_DEVICES_CORES", str(list(devices.cores or cores)))
    os.sched_setaffinity(0, other_cores(devices))
    return load("devices", DeviceSettings, kind="cpu")


def engine(options: argparse.Namespace) -> tuple[Host, dict[str, str]]:
    """What is started, and the variables it gets."""
    kv = ("--kv-transfer-config", transfer_config(options.sockets)) if options.kv else ()
    env = {"PYTHONHASHSEED": "0"} if options.kv else {}
    if options.tiny:
        args = ("--max-model-len", TINY_CONTEXT, *kv)
        return Host(model=options.model, python=find(""), cpu=True, args=args), env
    apart = options.engine_device != options.judge_device
    seen = [options.engine_device, *([options.judge_device] if options.kv and apart else [])]
    args = (
        "--load-format", "dummy", "--dtype", "bfloat16", "--max-model-len", CONTEXT, "--max-num-seqs", "64",
        "--gpu-memory-utilization", ALONE if apart else SHARED, *kv,
    )
    return Host(model=options.model, python=find(""), args=args), env | {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, seen))
    }


def pools(options: argparse.Namespace, devices: DeviceSettings, config: Path) -> tuple[Service, ...]:
    """The KV tier's service on the judging device, where it is asked for. `config`: the settings of its system."""
    if not options.kv:
        return ()
    env = {"SPECGEN_KVSTORE_SOCKETS": options.sockets, CONFIG_VARIABLE: str(config)}
    if not options.tiny:
        env |= {"SPECGEN_KVSTORE_KIND": "vmm", "SPECGEN_KVSTORE_DEVICE": discover(devices)[0].id}
    return (python_service("kvstore", env=env),)
