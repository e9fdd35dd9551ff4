"""Have Triton compile what a candidate's calls will launch, without a device: the model is called on tensors that have
shapes and no values, and every launch becomes a compilation. What calls do not reach this way is compiled when it is
launched, as it would have been.
"""
from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch._subclasses import fake_tensor

from common.errors import UsageError
from common.judge.check import (
    Case,
    CaseUnusable,
    TaskModule,
    TaskProblem,
    flatten,
    load_task,
    make_init_inputs,
    make_inputs,
    plan_cases,
    rebuild,
)
from common.judge.child.module import defines_triton
from common.judge.protocol import Foresee, Foreseen

_DEVICE = torch.device("cuda", 0)
_WANTING_VALUES = (
    fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException,
    fake_tensor.UnsupportedFakeTensorException, fake_tensor.UnsupportedOperatorException,
)
_WORDS = 300


def foresee(module: ModuleType, order: Foresee) -> Foreseen:
    """As far as its seconds go; `missed` says why a call ended before its last launch."""
    if not defines_triton(module):
        return Foreseen(launches=0, missed=())
    until, compiled = time.monotonic() + order.seconds, _Compiling(order.capability)
    missed = list[str]()
    try:
        task = load_task(order.task)
        for case in shapes(task):
            if time.monotonic() > until:
                raise TimeoutError("no time was left")
            _call(module, task, case, missed)
    except (TaskProblem, CaseUnusable, UsageError, TimeoutError, _Wrong) as problem:
        missed.append(str(problem)[:_WORDS])
    return Foreseen(launches=compiled.launches, missed=tuple(missed))


def shapes(task: TaskModule) -> list[Case]:
    """A task's own, then each other shape that it is checked with, then each other layout: what refuses one in words
    still takes the shapes."""
    cases = plan_cases(task, secret=b"shapes")
    chosen = [case for case in cases if case.name == "own" or case.held_out or case.layout != "own"]
    return sorted(chosen, key=lambda case: case.layout != "own")


class _Wrong(Exception):
    """The source fails on the task's own shapes, as it will on a device: no other is compiled for."""


def _call(module: ModuleType, task: TaskModule, case: Case, missed: list[str]) -> None:
    inputs = make_inputs(task, case, "meta")
    arguments = make_init_inputs(task, case)
    try:
        with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            model = module.ModelNew(*arguments)
            if isinstance(model, torch.nn.Module):
                _move(model)
            model(*rebuild(inputs, [_shaped(leaf) for leaf in flatten(inputs)[1]]))
    except Exception as error:  # noqa: BLE001 - the edge of foreign code, which is made for tensors with values
        told = f"{type(error).__name__}: {error}"[:_WORDS]
        if case.name == "own" and not isinstance(error, _WANTING_VALUES):
            raise _Wrong(told) from None
        missed.append(told)


def _move(model: torch.nn.Module) -> None:
    """As `to` does, which refuses parameters without values."""
    for module in model.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = buffer if buffer is None else torch.empty_like(buffer, device=_DEVICE)
        for name, parameter in module._parameters.items():
            if parameter is not None:
                moved = torch.empty_like(parameter, device=_DEVICE)
                module._parameters[name] = torch.nn.Parameter(moved, requires_grad=parameter.requires_grad)


def _shaped(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor):
        return leaf
    return torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device=_DEVICE)


class _Compiling:
    """In place of Triton's driver and of its launches, for the rest of the process's life."""

    def __init__(self, capability: int) -> None:
        from triton.runtime import driver  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - see facts
        from triton.runtime.autotuner import Autotuner  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
        from triton.runtime.jit import JITFunction  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

        self.launches = 0
        self._launchers = True
        # NVML tells of GPUs whether this process has them or not, and torch would make a context for the first tensor
        # that is said to be on one.
        torch.cuda.is_available = lambda: False
        driver.set_active(_Driver(capability))
        compile_only = JITFunction.run

        def run(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
            del grid, warmup
            self.launches += 1
            given = map(_pointer, args), {name: _pointer(value) for name, value in kwargs.items()}
            compiled = compile_only(kernel, *given[0], grid=(1,), warmup=True, **given[1])
            self._launcher(compiled)
            return compiled

        def bench(tuner: Any, *args: Any, config: Any, **kwargs: Any) -> list[float]:
            """Every configuration is as fast as the next."""
            tuner.fn.run(*args, **kwargs, **config.all_kwargs())
            return [1.0, 1.0, 1.0]

        def uncached(tuner: Any, key: Any, configs: Any, measure: Callable[[], None]) -> bool:
            """What was not measured is nothing to keep."""
            del tuner, key, configs
            measure()
            return False

        JITFunction.run, Autotuner._bench, Autotuner.check_disk_cache = run, bench, uncached

    def _launcher(self, compiled: Any) -> None:
        """The C code of a launch, by its arguments' types, which takes a compiler of its own."""
        from triton.backends.nvidia.driver import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
            CudaLauncher,
        )

        try:
            if compiled and self._launchers:
                CudaLauncher(compiled.src, compiled.metadata)
        except (ImportError, OSError, RuntimeError, AssertionError, subprocess.SubprocessError):
            self._launchers = False  # without a compiler or the driver's library; the first launch will say so


def _pointer(value: Any) -> Any:
    return _Pointer(value) if isinstance(value, torch.Tensor) else value


class _Pointer:
    """What Triton looks at of a tensor: its type, and whether its address is a multiple of 16. Allocations' are."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.dtype = tensor.dtype
        self.shape = tensor.shape
        self._at = int(tensor.storage_offset()) * tensor.element_size()

    def data_ptr(self) -> int:
        return self._at

    @staticmethod
    def ptr_range() -> int:
        return 0


class _Driver:
    def __init__(self, capability: int) -> None:
        from triton.backends.compiler import GPUTarget  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

        self._target = GPUTarget("cuda", capability, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        del device
        return 0

    def get_current_target(self) -> Any:
        return self._target

    def get_active_torch_device(self) -> torch.device:
        return _DEVICE

    def get_benchmarker(self) -> Any:
        raise NotImplementedError("nothing is timed without a device")
