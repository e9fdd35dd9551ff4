"""The loop of a judge process: requests from the service one after the other, a thread that hears `Stop` meanwhile."""
from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from common.judge import requests
from common.judge.build.builder import Builder, BuildStopped
from common.judge.build.run import Compilers
from common.judge.build.store import Store
from common.judge.build.toolchain import Toolchain
from common.judge.faults import JudgeFault, ProcessUnusable
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.kernels import Kernels
from common.judge.lane.spares import Spares
from common.judge.requests import Reply, Setup
from common.judge.sandbox.cgroup import sweep
from common.judge.shortage import shortage
from common.judge.wire import recv_frame, send_frame
from common.logs import configure, get_logger
from common.messages.judgement import Judgement

log = get_logger()
_LIMIT = 1 << 28


class Stopped(Exception):
    """The request under way was given up."""


class Bench:
    """What a request is worked with: spares, the builder, and whether it was given up."""

    def __init__(self, setup: Setup, zygote: socket.socket) -> None:
        self.settings = setup.settings
        self.kind = setup.kind
        self.isolated = setup.isolated
        sweep()
        self.spares = Spares(zygote, setup.settings, isolated=setup.isolated)
        store = Store(setup.settings.cache_folder, setup.settings.cache_mib)
        self.compilers = Compilers(setup.bwrap, setup.settings.build_jobs, setup.settings.build_seconds)
        self.tools = Toolchain(self.spares.facts, setup.kind)
        self.builder = Builder(self.tools, store, self.compilers)
        self.kernels = Kernels(store)
        self._stopped = threading.Event()

    @property
    def labels(self) -> tuple[str, ...]:
        return () if self.isolated else ("sandbox_off",)

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def check(self) -> None:
        """Stopped where the request was given up."""
        if self.stopped:
            raise Stopped

    def begin(self) -> None:
        """From the listening thread, so that no `Stop` of this request is lost."""
        self._stopped.clear()

    def rest(self) -> None:
        """Between requests: make the next spare ready. What fails here fails again, and is told, when one is needed."""
        try:
            self.spares.refill()
        except JudgeFault as fault:
            log.warning("judge.no_spare", reason=fault.reason)

    def stop(self) -> None:
        """From the listening thread: end what the request started."""
        self._stopped.set()
        self.spares.kill_taken()
        self.compilers.stop()


Handler = Callable[[Bench, Any], Reply]


def answer(bench: Bench, handler: Handler, request: Any) -> Reply:
    """Every way a request can end, as a reply that says whether memory was short on the way."""
    shortage.begin()
    reply = _answer(bench, handler, request)
    return msgspec.structs.replace(reply, short_of_memory=shortage.met)


def _answer(bench: Bench, handler: Handler, request: Any) -> Reply:
    started = time.monotonic()
    try:
        reply = handler(bench, request)
        bench.check()
        return reply
    except (Stopped, BuildStopped):
        return Reply(stopped=True)
    except CandidateEnded as ended:
        if bench.stopped:
            return Reply(stopped=True)
        seconds = {type(request).__name__.lower(): time.monotonic() - started}
        return Reply(judgement=Judgement(
            outcome=ended.outcome, feedback=ended.feedback, labels=bench.labels, seconds=seconds, record=ended.record,
        ))
    except JudgeFault as fault:
        if bench.stopped:
            return Reply(stopped=True)
        log.warning("judge.fault", reason=fault.reason, quarantine=fault.quarantine)
        return Reply(
            fault=fault.reason, quarantine=fault.quarantine, unusable=isinstance(fault, ProcessUnusable),
        )


class Lane:
    def __init__(self, service: socket.socket) -> None:
        self._service = service
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def serve(self, bench: Bench, handler: Handler, tidy: Callable[[], None]) -> None:
        threading.Thread(target=self._listen, args=(bench,), daemon=True).start()
        while True:
            request = self._requests.get()
            reply = answer(bench, handler, request)
            tidy()
            send_frame(self._service, requests.encode(reply))
            bench.rest()

    def _listen(self, bench: Bench) -> None:
        """Ends the process when the service is gone: the zygote then ends what is left of it."""
        while True:
            try:
                message = requests.request_decoder.decode(recv_frame(self._service, _LIMIT))
            except (EOFError, ConnectionError):
                bench.stop()
                bench.spares.close()
                os._exit(0)
            if isinstance(message, requests.Stop):
                bench.stop()
            else:
                bench.begin()
                self._requests.put(message)


def main(service: str, handler: Handler, tidy: Callable[[], None] = lambda: None) -> None:
    """Started with two sockets: the service's and the zygote's. `tidy` is called before each answer goes, when nothing
    of the request is in use any more."""
    configure(service)
    link, zygote = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    setup = requests.request_decoder.decode(recv_frame(link, _LIMIT))
    try:
        bench = Bench(setup, zygote)
    except JudgeFault as fault:
        log.error("judge.not_started", reason=fault.reason)
        raise SystemExit(1) from None
    Lane(link).serve(bench, handler, tidy)
