"""Candidates that crash, hang, fork and eat, drawn from templates by a seed."""
from __future__ import annotations

import random

from tests.judge.sources import candidate

HEAD = """
import ctypes, mmap, os, signal, socket, sys, tempfile, threading, time
import torch
import torch.nn as nn
"""

_TEMPLATES = (
    "ctypes.string_at({address})",
    "os.abort()",
    "os._exit({code})",
    "os.kill(os.getpid(), {signal})",
    "sys.setrecursionlimit(10**8)\ndeep = lambda n: deep(n + 1) + {code}\ndeep(0)",
    "raise MemoryError('{code}')",
    "[os.fork() for _ in range(9)]\ntime.sleep({code} % 3)\nos._exit(0)",
    "while True:\n    if os.fork() == 0: time.sleep(60)",
    "while True:\n    threading.Thread(target=time.sleep, args=(60,)).start()",
    "hoard = [torch.ones(1 << 24) for _ in range({code} + 200)]",
    "with open('/tmp/fill', 'wb') as file:\n    while True: file.write(bytes(1 << 20))",
    "with open('/dev/shm/fill', 'wb') as file:\n    while True: file.write(bytes(1 << 20))",
    "for i in range(10**6): open(f'/tmp/file-{{i}}', 'w').close()",
    "held = [socket.socketpair() for _ in range(10**5)]",
    "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(600)\n    os._exit(0)\nos._exit({code})",
    "for number in range(1, 65):\n    if number not in (9, 19): signal.signal(number, signal.SIG_IGN)\ntime.sleep(60)",
    "print('x' * (32 << 20))\nraise ValueError({code})",
    "mmap.mmap(-1, 1 << 44)",
    "os.closerange(0, 100)\nos._exit({code})",
    "while True: {code} + 1",
)


def hostile(seed: int) -> str:
    """The source of one; the same for the same seed."""
    rng = random.Random(seed)
    template = _TEMPLATES[seed % len(_TEMPLATES)]
    body = template.format(
        address=rng.choice((0, 1, 8, 1 << 20)), code=rng.randrange(1, 100), signal=rng.choice((4, 6, 8, 9, 11, 15)),
    )
    where = rng.random()
    if where < 0.7:
        return candidate(body, head=HEAD)
    if where < 0.85:
        return candidate("return x", head=HEAD, init="exec(BODY)").replace(HEAD, f"{HEAD}\nBODY = {body!r}\n")
    return candidate("return x", head=f"{HEAD}\nexec({body!r})")
