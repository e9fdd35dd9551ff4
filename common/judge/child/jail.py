"""What is done to a fresh process before foreign code runs in it: mounts, limits, identity, capabilities, filter."""
from __future__ import annotations

import contextlib
import ctypes
import glob
import itertools
import os
import resource

from common.judge.child import seccomp
from common.judge.protocol import SpareSpec

_NEW_MOUNTS, _NEW_IPC, NEW_PIDS = 0x00020000, 0x08000000, 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
_PR_CAPBSET_DROP, _PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _CAP_VERSION_3 = 24, 1, 4, 0x20080522
_CAPABILITIES = 64

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: object) -> int:
    """A libc function; OSError where it returns less than 0."""
    result: int = getattr(_libc, name)(*args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def enter_mounts(spec: SpareSpec) -> None:
    """Mounts of this namespace's own: /proc shows these processes alone, /tmp and /dev/shm are empty and limited."""
    call("unshare", _NEW_MOUNTS | _NEW_IPC)
    call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    call("mount", b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV, None)
    size = f"size={spec.tmp_mib}m,nr_inodes=65536,mode=1777".encode()
    for place in (b"/tmp", b"/dev/shm"):
        call("mount", b"tmpfs", place, b"tmpfs", _MS_NOSUID | _MS_NODEV, size)
    if spec.role != "cuda":
        _hide_gpus()


def _hide_gpus() -> None:
    for node in glob.glob("/dev/nvidia*"):
        if not os.path.isdir(node):
            call("mount", b"/dev/null", node.encode(), None, _MS_BIND, None)


def close_other_fds(keep: tuple[int, ...]) -> None:
    bounds = [2, *sorted(keep), os.sysconf("SC_OPEN_MAX")]
    for low, high in itertools.pairwise(bounds):
        os.closerange(low + 1, high)


def limit(spec: SpareSpec) -> None:
    """Resource limits: what no cgroup needs to hold for. Memory only where `address_space` says so."""
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_NOFILE, 1024)
    _set(resource.RLIMIT_FSIZE, spec.tmp_mib << 20)
    _set(resource.RLIMIT_NPROC, spec.processes)
    _set(resource.RLIMIT_MEMLOCK, 64 << 20) if spec.role != "cuda" else None
    if spec.address_space:
        _set(resource.RLIMIT_AS, _address_space() + (spec.memory_mib << 20))


def _set(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (value, value))


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def drop_privileges(spec: SpareSpec) -> None:
    """Another user without groups (where this one may choose), no capability now or by exec, and the filter."""
    for capability in range(_CAPABILITIES):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    with contextlib.suppress(PermissionError):  # a user namespace of one user has none to change to
        os.setgroups([])
    with contextlib.suppress(OSError):
        os.setresgid(spec.uid, spec.uid, spec.uid)
        os.setresuid(spec.uid, spec.uid, spec.uid)
    _clear_capabilities()
    seccomp.install()


def _clear_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION_3, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())


def die_with_parent(signal_number: int) -> None:
    call("prctl", _PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def hide_memory() -> None:
    """No other process of the same user may read this one's memory."""
    call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
