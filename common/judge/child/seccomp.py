"""A seccomp filter as classic BPF: refuses what no kernel needs and what could reach other processes or clocks."""
from __future__ import annotations

import ctypes
import errno
import platform
import struct
from typing import NamedTuple

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _ARGUMENT = 0, 4, 16
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2
_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_CLONE3, _X32 = 435, 0x40000000

_NEW = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
        "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438, "process_madvise": 440,
        "mount_setattr": 442, "process_mrelease": 448}
"""Numbers that every architecture shares."""

_X86_64 = {
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "seccomp": 317, "bpf": 321,
    "perf_event_open": 298, "userfaultfd": 323, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "unshare": 272, "setns": 308, "keyctl": 250, "add_key": 248, "request_key": 249, "kexec_load": 246,
    "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176, "reboot": 169,
    "swapon": 167, "swapoff": 168, "acct": 163, "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305,
    "adjtimex": 159, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "syslog": 103,
    "open_by_handle_at": 304, "name_to_handle_at": 303, "personality": 135, "fanotify_init": 300,
    "sched_setaffinity": 203, "sched_setscheduler": 144, "sched_setparam": 142, "sched_setattr": 314,
    "setpriority": 141, "splice": 275, "tee": 276, "vmsplice": 278,
}
_AARCH64 = {
    "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "seccomp": 277, "bpf": 280,
    "perf_event_open": 241, "userfaultfd": 282, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51,
    "unshare": 97, "setns": 268, "keyctl": 219, "add_key": 217, "request_key": 218, "kexec_load": 104,
    "kexec_file_load": 294, "init_module": 105, "finit_module": 273, "delete_module": 106, "reboot": 142,
    "swapon": 224, "swapoff": 225, "acct": 89, "settimeofday": 170, "clock_settime": 112, "clock_adjtime": 266,
    "adjtimex": 171, "sethostname": 161, "setdomainname": 162, "syslog": 116, "open_by_handle_at": 265,
    "name_to_handle_at": 264, "personality": 92, "fanotify_init": 262, "sched_setaffinity": 122,
    "sched_setscheduler": 119, "sched_setparam": 118, "sched_setattr": 274, "setpriority": 140, "splice": 76,
    "tee": 77, "vmsplice": 75,
}


class Machine(NamedTuple):
    audit: int
    """AUDIT_ARCH value of native system calls."""
    denied: dict[str, int]
    prctl: int
    clone: int


MACHINES = {
    "x86_64": Machine(0xC000003E, _X86_64, 157, 56),
    "aarch64": Machine(0xC00000B7, _AARCH64, 167, 220),
}


def _step(code: int, value: int, then: int = 0, other: int = 0) -> bytes:
    return struct.pack("<HBBI", code, then, other, value)


def program(machine: Machine) -> bytes:
    """The filter: foreign architectures die, refused calls fail with EPERM, clone3 with ENOSYS (glibc then uses clone,
    whose flags a filter can read)."""
    refuse, absent = _step(_RETURN, _ERRNO | errno.EPERM), _step(_RETURN, _ERRNO | errno.ENOSYS)
    steps = [_step(_LOAD, _ARCH), _step(_EQUAL, machine.audit, 1), _step(_RETURN, _KILL), _step(_LOAD, _NUMBER)]
    steps += [_step(_AT_LEAST, _X32, 0, 1), refuse]
    steps += [_step(_EQUAL, _CLONE3, 0, 1), absent]
    for number in sorted((machine.denied | _NEW).values()):
        steps += [_step(_EQUAL, number, 0, 1), refuse]
    steps += [_step(_EQUAL, machine.prctl, 0, 3), _step(_LOAD, _ARGUMENT), _step(_EQUAL, _PR_SET_SECCOMP, 0, 1), refuse]
    steps += [_step(_LOAD, _NUMBER), _step(_EQUAL, machine.clone, 0, 3), _step(_LOAD, _ARGUMENT)]
    steps += [_step(_ANY_BIT, _NAMESPACES, 0, 1), refuse, _step(_RETURN, _ALLOW)]
    return b"".join(steps)


def install() -> None:
    """Filter this process and its descendants for good. OSError where the kernel refuses or the machine is unknown."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(errno.ENOSYS, f"no seccomp filter is written for {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    code = program(machine)
    buffer = ctypes.create_string_buffer(code)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    filled = Program(len(code) // 8, ctypes.addressof(buffer))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filled), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel took no seccomp filter")
