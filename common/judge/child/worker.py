"""The candidate's process: takes orders from the judge, runs the candidate, puts its outputs where the judge said."""
from __future__ import annotations

import os
import random
import socket
import time
import traceback
from typing import Any

import torch

from common.judge.check.policy import set_backend_precision
from common.judge.child import ahead, counting, devices, extension, kernels
from common.judge.child.arena import Arena
from common.judge.child.calls import Caller
from common.judge.child.construct import construct
from common.judge.child.foresee import foresee
from common.judge.child.module import load_module, owns_code
from common.judge.child.pace import Pace
from common.judge.child.places import ReturnedOddly
from common.judge.out_of_memory import out_of_memory
from common.judge.protocol import (
    Arena as NewArena,
)
from common.judge.protocol import (
    Call,
    Collect,
    Collected,
    Construct,
    Count,
    Done,
    Failed,
    Foresee,
    Load,
    Loaded,
    Made,
    Make,
    Mapped,
    Ready,
    SpareSpec,
    Weigh,
    Weighed,
    encode,
    order_decoder,
)
from common.judge.tree import unpack
from common.judge.weights import weigh
from common.judge.wire import recv_frame_fds, send_frame

_TEXT, _TRACE = 4000, 6000
_DEVICE = ("CUDA error", "Triton Error [CUDA]", "CUBLAS_STATUS", "CUDNN_STATUS")
"""After such an error the device is probed: the process may have lost it for good."""


class Worker:
    def __init__(self, spec: SpareSpec, inbox: socket.socket) -> None:
        self._spec = spec
        self._inbox = inbox
        self._module: Any = None
        self._model: Any = None
        self._builder: extension.Builder | None = None
        self._caller: Caller | None = None
        self._arena: Arena | None = None
        self._kernels = extension.triton_cache()

    def serve(self) -> None:
        """Until the judge hangs up. Whatever an order raises is told as text."""
        while True:
            try:
                frame, fds = recv_frame_fds(self._inbox)
            except (EOFError, ConnectionResetError):
                return
            order = order_decoder.decode(frame)
            try:
                answer = self._obey(order, fds)
            except BaseException as error:  # noqa: BLE001 - the edge of foreign code: SystemExit included
                answer = failed(error)
            send_frame(self._inbox, encode(answer))

    def _obey(self, order: Any, fds: list[int]) -> Any:
        match order:
            case Load():
                return self._load(order)
            case NewArena():
                self._map(order, fds)
                return Mapped()
            case Make():
                return self._make(order)
            case Call():
                return self._call(order)
            case Weigh():
                return Weighed(weights=weigh(self._model))
            case Collect():
                return Collected(kernels=kernels.collect(self._kernels))
            case Construct():
                return construct(self._module, order)
            case Foresee():
                return foresee(self._module, order)
            case Count():
                return counting.count(order, self._spec)
        raise TypeError(f"no such order: {type(order).__name__}")

    def _map(self, order: NewArena, fds: list[int]) -> None:
        if self._arena is not None:
            self._arena.close()
        self._arena = Arena(fds[0], order.size, self._spec) if order.size else None

    def _load(self, order: Load) -> Loaded:
        torch.set_num_threads(len(self._spec.cores))
        set_backend_precision(order.precision)
        self._builder = extension.install(self._inbox, order.files)
        kernels.place(self._kernels, order.kernels | ahead.triton_files)
        self._module = load_module(order.source)
        return Loaded()

    def _make(self, order: Make) -> Made:
        """The model as the task's own is made: on the host, after the seed, then moved to the device."""
        arguments = unpack(order.arguments, devices.inline_tensor)
        torch.manual_seed(order.weight_seed)
        random.seed(order.weight_seed)
        self._caller = self._model = None
        model = self._module.ModelNew(*arguments)
        if isinstance(model, torch.nn.Module):
            model = model.to(devices.torch_device(self._spec))
        self._model, self._caller = model, Caller(model, self._spec)
        return Made(own_code=owns_code(self._module))

    def _call(self, order: Call) -> Done:
        if self._arena is None or self._caller is None or self._builder is None:
            raise RuntimeError("a call before the model was made")
        with self._builder.unawaited():
            return self._caller.call(order, self._arena, Pace(self._inbox, order, self._arena))


def failed(error: BaseException) -> Failed:
    """An exception as text, without this package's own frames."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/common/judge/" not in frame.filename]
    trace = "".join(traceback.format_list(frames))
    name, text = type(error).__name__, _said(error)
    return Failed(type_name=name, text=text, traceback=trace[-_TRACE:], kind=_kind(error))


def _said(error: BaseException) -> str:
    try:
        return str(error)[-_TEXT:]
    except Exception:  # noqa: BLE001 - a message is foreign code as well
        return "(its message cannot be read)"


def _kind(error: BaseException) -> str:
    text = _said(error)
    if isinstance(error, extension.BuildError):
        return "build"
    if isinstance(error, ReturnedOddly):
        return "return"
    if out_of_memory(error, text):
        return "memory"
    if isinstance(error, torch.AcceleratorError) or any(word in text for word in _DEVICE):
        return "device"
    return ""


def work(spec: SpareSpec, inbox: socket.socket) -> None:
    """Prepare the device, say so, and serve."""
    started = time.monotonic()
    os.environ["HOME"] = os.getcwd()
    devices.prepare(spec)
    send_frame(inbox, encode(Ready(seconds=time.monotonic() - started)))
    Worker(spec, inbox).serve()
