"""Run a command as a judge's container would: `python -m tests.compose.fence CAPABILITIES FOLDER PROGRAM [ARGUMENT …]`.

A mount namespace of its own with a read-only root, FOLDER writable as /mnt, a tmpfs /tmp that runs nothing, the
capabilities named (`sys_admin,kill`) and no others, no new privileges, and the system calls of docker/seccomp.json
refused. Needs root; what Docker adds beyond that (its AppArmor profile switched off, devices) has no part here.
"""
from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

from common.judge.child.seccomp import MACHINES

PROFILE = Path(__file__).parents[2] / "docker" / "seccomp.json"
_CLONE_NEWNS = 0x00020000
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_LOAD, _EQUAL, _RETURN, _REFUSE, _ALLOW = 0x20, 0x15, 0x06, 0x00050000 | errno.EPERM, 0x7FFF0000
_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def refused() -> tuple[str, ...]:
    """Names of the system calls that the container's profile denies."""
    [rule] = json.loads(PROFILE.read_text())["syscalls"]
    return tuple(rule["names"])


def numbers() -> list[int]:
    """Of those that this machine has."""
    known = MACHINES[platform.machine()].denied
    return [known[name] for name in refused() if name in known]


def mounts(folder: str) -> None:
    """Shown to this process and its children alone."""
    _must(_libc.unshare(_CLONE_NEWNS), "no mount namespace")
    for words in (
        ["--make-rprivate", "/"],
        ["--bind", folder, "/mnt"],
        ["-t", "tmpfs", "-o", "mode=1777,size=1g,noexec,nosuid,nodev", "tmpfs", "/tmp"],
        ["-o", "remount,bind,ro", "/"],
    ):
        subprocess.run(["mount", *words], check=True)


def filter_calls() -> None:
    """As the container runtime loads the profile: before the process starts, for it and all its children."""
    steps = [struct.pack("<HBBI", _LOAD, 0, 0, 0)]
    for number in numbers():
        steps += [struct.pack("<HBBI", _EQUAL, 0, 1, number), struct.pack("<HBBI", _RETURN, 0, 0, _REFUSE)]
    code = b"".join([*steps, struct.pack("<HBBI", _RETURN, 0, 0, _ALLOW)])
    filled = _Program(len(code) // 8, code)
    _must(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _must(_libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(filled), 0, 0), "seccomp filter")


def _must(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), what)


def main() -> None:
    capabilities, folder, *command = sys.argv[1:]
    mounts(folder)
    filter_calls()
    wanted = ",".join(["-all", *(f"+{name}" for name in capabilities.split(",") if name)])
    words = ["setpriv", "--no-new-privs", "--bounding-set", wanted, "--inh-caps", wanted, "--", *command]
    os.execvp("setpriv", words)


if __name__ == "__main__":
    main()
