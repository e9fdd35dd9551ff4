"""What is used of NIXL, the library that moves memory between hosts: one agent a process, made when it is first needed.

Its UCX backend picks the way: RDMA where there is a fabric, else TCP, and shared memory on one host. UCX reads its
variables (`UCX_TLS`, `UCX_NET_DEVICES`) as ever.
"""
from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Literal

from kvstore.memory.base import MemoryFailed

_MODULES = ("nixl_cu12._api", "nixl_cu13._api", "nixl._api")
_BACKEND = "UCX"
_MOST_SECONDS = 10.0
"""A transfer that takes longer counts as failed: its peer does not answer."""
_SPINS = 200
"""Looks at a transfer before the thread sleeps between them: most are done by then."""
_NAP_SECONDS = 0.0002
_SERVING_SECONDS, _IDLE_SECONDS = 0.001, 0.1
"""Between two turns of UCX in a process whose memory others use, which without a fabric have to be answered, and in one
that only uses theirs. NIXL's own thread would never sleep, and take a core."""

Span = tuple[int, int, int]
"""Address, bytes, and the number of the device (0 for host memory)."""


@dataclass(eq=False)
class Remote:
    """Another process's agent, and what of its memory this one may reach."""

    name: str
    spans: dict[int, bytes] = field(default_factory=dict)
    """Metadata of each registration in use here, by its address."""
    users: Counter[int] = field(default_factory=Counter)
    """How often each is in use."""


class Agent:
    """NIXL's own lock is on; ours keeps a remote agent's pieces together."""

    def __init__(self) -> None:
        api = _api()
        # Unique: peers know an agent by its name, also one that came after it under the same process number.
        name = f"specgen-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        strict = api.nixl_thread_sync_t.NIXL_THREAD_SYNC_STRICT
        try:
            config = api.nixl_agent_config(enable_prog_thread=False, backends=[_BACKEND], sync_mode=strict)
            self._nixl = api.nixl_agent(name, config)
        except Exception as error:
            raise MemoryFailed(f"NIXL cannot be used: {error!r}") from error
        # They have no base of their own.
        named = [kind for name, kind in vars(api.nixlBind).items() if name.endswith("Error")]
        self._errors = (*named, RuntimeError)
        self._lock = threading.Lock()
        self._remotes: dict[str, Remote] = {}
        self._pause = _IDLE_SECONDS
        threading.Thread(target=self._turn, name="nixl", daemon=True).start()

    def serve(self) -> None:
        """Others will use this process's memory."""
        self._pause = _SERVING_SECONDS

    def _turn(self) -> None:
        while True:
            time.sleep(self._pause)
            # A peer that died is no reason to leave the others unanswered.
            with suppress(*self._errors):
                self._nixl.get_new_notifs(backends=[_BACKEND])

    # Own memory

    def register(self, address: int, size: int, *, device: int | None = None) -> Any:
        """Make memory reachable, the host's unless a device is given. MemoryFailed where that is refused."""
        try:
            span = (address, size, device or 0, "")
            return self._nixl.register_memory([span], _place(device), backends=[_BACKEND])
        except self._errors as error:
            raise MemoryFailed(f"NIXL does not register {size} bytes: {error!r}") from None

    def deregister(self, registration: Any) -> None:
        self._nixl.deregister_memory(registration, backends=[_BACKEND])

    def metadata(self, registration: Any) -> bytes:
        """What a peer needs to reach this piece of memory and nothing else."""
        data: bytes = self._nixl.get_partial_agent_metadata(registration, True, [_BACKEND])
        return data

    # Others' memory

    def reach(self, address: int, metadata: bytes) -> Remote:
        """From now on the memory at another agent's address can be read and written."""
        with self._lock:
            name = self._add(metadata)
            remote = self._remotes.setdefault(name, Remote(name))
            remote.spans[address] = metadata
            remote.users[address] += 1
            return remote

    def leave(self, remote: Remote, address: int) -> None:
        """The connection ends with the last piece."""
        with self._lock:
            remote.users[address] -= 1
            if remote.users[address] <= 0:
                remote.spans.pop(address, None)
            if not remote.spans and self._remotes.pop(remote.name, None) is not None:
                self._remove(remote)

    def move(
        self, direction: Literal["READ", "WRITE"], ours: Sequence[Span], theirs: Sequence[Span], remote: Remote, *,
        device: int | None = None,
    ) -> None:
        """Copy piece by piece and return when all are there. MemoryFailed where it does not succeed: what it was to
        fill holds rubbish then, and may go on changing."""
        try:
            self._move(direction, ours, theirs, remote, device)
        except (*self._errors, TimeoutError) as error:
            self._renew(remote)
            raise MemoryFailed(f"NIXL: a {direction.lower()} of {len(ours)} pieces failed: {error!r}") from None

    def _move(
        self, direction: str, ours: Sequence[Span], theirs: Sequence[Span], remote: Remote, device: int | None
    ) -> None:
        nixl = self._nixl
        here, there = nixl.get_xfer_descs(list(ours), _place(device)), nixl.get_xfer_descs(list(theirs), "DRAM")
        transfer = nixl.initialize_xfer(direction, here, there, remote.name, backends=[_BACKEND])
        try:
            state, looks, end = nixl.transfer(transfer), 0, time.monotonic() + _MOST_SECONDS
            while state == "PROC":
                if time.monotonic() > end:
                    raise TimeoutError(f"not done within {_MOST_SECONDS:g} s")
                looks += 1
                if looks > _SPINS:
                    time.sleep(_NAP_SECONDS)
                state = nixl.check_xfer_state(transfer)
        finally:
            nixl.release_xfer_handle(transfer)
        if state != "DONE":
            raise RuntimeError(f"it ended as {state}")

    def _renew(self, remote: Remote) -> None:
        """A connection that failed once refuses everything from then on: make it anew."""
        with self._lock:
            if self._remotes.get(remote.name) is remote:
                self._remove(remote)
                try:
                    for metadata in remote.spans.values():
                        self._add(metadata)
                except MemoryFailed:
                    return  # the next transfer fails too, and tries again

    def _add(self, metadata: bytes) -> str:
        try:
            name = self._nixl.add_remote_agent(metadata)
        except self._errors as error:
            raise MemoryFailed(f"NIXL does not take a pool's metadata: {error!r}") from None
        return str(name.decode() if isinstance(name, bytes) else name)

    def _remove(self, remote: Remote) -> None:
        try:
            self._nixl.remove_remote_agent(remote.name)
        except self._errors:
            return  # it was not connected any more


def agent() -> Agent:
    """This process's own; MemoryFailed where NIXL is not installed or cannot be used."""
    with _making:
        return _agent()


_making = threading.Lock()
"""What one agent was told another does not know: threads that come at the same time must not make two."""


@cache
def _agent() -> Agent:
    return Agent()


def installed() -> bool:
    try:
        _api()
    except MemoryFailed:
        return False
    return True


def _api() -> Any:
    problems = []
    for name in _MODULES:
        try:
            return import_module(name)
        except ImportError as error:
            problems.append(str(error))
    raise MemoryFailed(f"a pool of kind nixl needs NIXL: pip install '.[nixl]' in the checkout ({problems[0]})")


def _place(device: int | None) -> str:
    return "DRAM" if device is None else "VRAM"
