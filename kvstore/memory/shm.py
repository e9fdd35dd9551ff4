"""Host memory in anonymous files: for machines without a GPU, and for tests."""
from __future__ import annotations

import errno
import fcntl
import mmap
import os
from pathlib import Path

import numpy as np

from kvstore.memory.base import MemoryFailed, Segment

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
"""A mapping can never point behind the end of its file."""
_CGROUP = Path("/sys/fs/cgroup")


class SharedSegment:
    def __init__(self, size: int) -> None:
        self.size = size
        self.descriptor = os.memfd_create("specgen-kv", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.posix_fallocate(self.descriptor, 0, size)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
        except OSError as error:
            os.close(self.descriptor)
            raise MemoryFailed(f"no {size} bytes of shared memory: {error.strerror}") from None

    def release(self) -> None:
        """The kernel frees it when the last peer has unmapped."""
        os.close(self.descriptor)


class SharedOwner:
    kind = "shm"

    def round_up(self, size: int) -> int:
        return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE

    def allocate(self, size: int) -> SharedSegment:
        if size > self.free():
            raise MemoryFailed(f"no {size} bytes of shared memory: {self.free()} are free")
        return SharedSegment(size)

    def export(self, segment: Segment, *, writable: bool) -> tuple[bytes, int | None]:
        """A reader's descriptor is open for reading only: mapping it for writing fails in the kernel."""
        assert isinstance(segment, SharedSegment)
        if writable:
            return b"", os.dup(segment.descriptor)
        return b"", os.open(f"/proc/self/fd/{segment.descriptor}", os.O_RDONLY | os.O_CLOEXEC)

    def free(self) -> int:
        """What the host and this container's memory limit leave."""
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        limit, used = _read(_CGROUP / "memory.max"), _read(_CGROUP / "memory.current")
        return available if limit is None or used is None else max(0, min(available, limit - used))

    def total(self) -> int:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class SharedMapping:
    def __init__(self, memory: mmap.mmap, address: int, size: int) -> None:
        self.memory = memory
        self.address = address
        self.size = size

    def close(self) -> None:
        self.memory.close()


class SharedPeer:
    maps = True

    def open(self, token: bytes, descriptor: int | None, size: int, *, writable: bool) -> SharedMapping:
        if descriptor is None:
            raise MemoryFailed("shared memory came without its descriptor")
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        try:
            memory = mmap.mmap(descriptor, size, mmap.MAP_SHARED, protection)
        except OSError as error:
            known = " (the descriptor allows reading only)" if error.errno == errno.EACCES else ""
            raise MemoryFailed(f"cannot map {size} bytes of shared memory: {error.strerror}{known}") from None
        except ValueError as error:
            raise MemoryFailed(f"cannot map {size} bytes of shared memory: {error}") from None
        return SharedMapping(memory, np.frombuffer(memory, np.uint8).ctypes.data, size)


def _read(path: Path) -> int | None:
    """A number of the container's memory controller; None where there is no limit."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
