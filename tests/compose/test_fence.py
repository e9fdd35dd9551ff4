"""A judge with exactly the rights that docker-compose.yml gives it works, and candidates keep none of them."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.judge import sandbox_problem
from tests.compose.fence import numbers, refused
from tests.compose.files import services
from tests.pipeline.recordings import TASK, kernel

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can take rights away and keep others, as Docker does"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed"),
]
WHO = kernel("passed", 0).replace("variant = 0", (
    'import re; raise RuntimeError(" ".join(re.findall(r"(?:Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):\\t\\S+", '
    'open("/proc/self/status").read())))'
))
CPP = '''\
import ctypes

import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

library = ctypes.CDLL(load_inline(
    name="rows", is_python_module=False, no_implicit_headers=True, extra_cflags=["-O3"], cpp_sources="""
extern "C" void rows(const float* x, const float* w, float* out, int n, int m) {
  for (int i = 0; i < n; i++) {
    double s = 0;
    for (int j = 0; j < m; j++) { const float v = x[i * m + j] * w[j] + 1.0f; s += v > 0 ? v : 0; }
    out[i] = s;
  }
}"""))


class ModelNew(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size))

    def forward(self, x):
        x = x.contiguous()
        out = torch.empty(x.shape[0])
        library.rows(*(ctypes.c_void_p(t.data_ptr()) for t in (x, self.weight, out)), *x.shape)
        return out
'''


def granted() -> list[str]:
    """Capabilities that compose gives, alike to every judge."""
    lists = {tuple(service["cap_add"]) for service in services().values() if "cap_add" in service}
    [names] = lists
    return [name.lower() for name in names]


def judged(folder: Path, source: str, capabilities: list[str], *options: str) -> dict[str, Any]:
    """What `specgen check` finds behind that fence; its standard error under `error` where it cannot judge."""
    (folder / "task.py").write_text(TASK)
    (folder / "kernel.py").write_text(source)
    command = [sys.executable, "-m", "tests.compose.fence", ",".join(capabilities), str(folder), sys.executable, "-m",
               "common.cli", "check", "/mnt/task.py", "/mnt/kernel.py", "--json", *options]
    env = os.environ | {"SPECGEN_JUDGE_CACHE": "/mnt/cache", "SPECGEN_JUDGE_CALL_SECONDS": "5",
                        "SPECGEN_JUDGE_TIME_SECONDS": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, env=env, timeout=200)
    found: dict[str, Any] = json.loads(ran.stdout) if ran.stdout else {"error": ran.stderr}
    return found


@pytest.fixture(scope="module", autouse=True)
def sandbox_works_here() -> None:
    if problem := sandbox_problem():
        pytest.skip(problem)


def test_a_kernel_is_compiled_checked_and_timed(tmp_path: Path) -> None:
    found = judged(tmp_path, CPP, granted())
    assert found.get("profile"), found
    assert found["profile"]["outcome"] == "passed" and "sandbox_off" not in found["profile"]["labels"]


def who(folder: Path, capabilities: list[str]) -> dict[str, str]:
    """What a candidate's own process says of its user and rights."""
    text = json.dumps(judged(folder, WHO, capabilities, "--no-profile"))
    return dict(re.findall(r"(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):\W+(?:t)?(\w+)", text))


@pytest.mark.soak
def test_a_candidate_is_nobody_and_may_nothing(tmp_path: Path) -> None:
    found = who(tmp_path, granted())
    assert int(found.pop("Uid")) > 1000
    assert found == {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}


@pytest.mark.soak
@pytest.mark.parametrize("missing", ["sys_admin", "net_admin", "setfcap", "kill"])
def test_without_one_of_these_a_kernel_is_not_judged(tmp_path: Path, missing: str) -> None:
    found = judged(tmp_path, CPP, [name for name in granted() if name != missing])
    assert "error" in found or found["profile"]["outcome"] != "passed", found


@pytest.mark.soak
@pytest.mark.parametrize("missing", ["setuid", "setgid", "setpcap"])
def test_without_one_of_these_a_candidate_keeps_what_it_should_not(tmp_path: Path, missing: str) -> None:
    found = who(tmp_path, [name for name in granted() if name != missing])
    assert found["Uid"] == "0" or found["CapBnd"] != "0" * 16, found


@pytest.mark.soak
def test_no_right_is_given_without_a_test() -> None:
    assert set(granted()) == {"sys_admin", "net_admin", "setfcap", "kill", "setuid", "setgid", "setpcap"}


def test_the_profile_denies_nothing_the_fence_is_made_of() -> None:
    assert len(numbers()) >= 20
    assert not set(refused()) & {"mount", "umount2", "pivot_root", "unshare", "clone", "clone3", "setns", "chroot",
                                 "seccomp", "prctl", "ptrace", "sched_setaffinity", "sethostname"}
