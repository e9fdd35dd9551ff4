"""One call of the candidate's model: inputs from the arena, outputs into it."""
from __future__ import annotations

import time
from functools import partial
from typing import Any

import torch

from common.judge.check.structure import flatten
from common.judge.child import devices
from common.judge.child.arena import Arena
from common.judge.child.pace import Pace
from common.judge.child.places import place
from common.judge.child.trace import tracing
from common.judge.device_memory import give_back_unused
from common.judge.protocol import Call, Done, Kernel, Output, SpareSpec
from common.judge.tree import unpack


class Caller:
    def __init__(self, model: Any, spec: SpareSpec) -> None:
        self._model = model
        self._spec = spec
        self._inputs: Any = None
        self._held: list[Any] = []
        self._last: Any = None

    def call(self, order: Call, arena: Arena, pace: Pace) -> Done:
        if not order.empty:
            self._last = None
        if order.more or order.paced:
            return self._series(order, arena, pace)
        inputs = self._take_inputs(order, arena)
        if order.poison is not None:
            self._poison(order.outputs_room, order.poison)
        started = time.perf_counter()
        with tracing(order.trace) as kernels:
            returned = self._last if order.empty else self._forward(inputs)
            devices.synchronize(self._spec)
        span = time.perf_counter() - started
        self._last = returned
        return self._deliver(order, arena, inputs, returned, span, tuple(kernels))

    def _series(self, order: Call, arena: Arena, pace: Pace) -> Done:
        """Calls one after the other on inputs of their own, each one's outputs copied behind it on the same stream."""
        places = [(order.inputs, order.outputs_at), *((further.inputs, further.outputs_at) for further in order.more)]
        given = [unpack(inputs, partial(arena.tensor, begins=order.inputs_at)) for inputs, _ in places]
        placed = []
        pace.begin()
        for inputs, (_, at) in zip(given, places, strict=True):
            self._last = self._last if order.empty else self._forward(inputs)
            placed.append(place(self._last, at, order.outputs_room, arena))
        pace.launched()
        devices.synchronize(self._spec)
        span = pace.end()
        first, *rest = [call.result() for call in placed]
        return Done(nonce=order.nonce, spec=first.spec, outputs=first.outputs, more=tuple(rest), span=span)

    def _forward(self, inputs: Any) -> Any:
        with torch.no_grad():
            return self._model(*inputs)

    def _take_inputs(self, order: Call, arena: Arena) -> Any:
        """Fresh tensors over the arena, or the former call's with their version counted up."""
        if not order.edited:
            self._inputs = unpack(order.inputs, partial(arena.tensor, begins=order.inputs_at))
        else:
            for tensor in _tensors(self._inputs):
                tensor.view(-1)[:0].zero_() if tensor.is_contiguous() else tensor[:0].zero_()
        return self._inputs

    def _poison(self, room: int, byte: int) -> None:
        """Fill memory that the allocator will hand out next, so that what is never written shows."""
        device = devices.torch_device(self._spec)
        blocks = [torch.empty(room, dtype=torch.uint8, device=device).fill_(byte) for _ in range(2)]
        del blocks

    def _deliver(
        self, order: Call, arena: Arena, inputs: Any, returned: Any, span: float, kernels: tuple[Kernel, ...]
    ) -> Done:
        result = place(returned, order.outputs_at, order.outputs_room, arena).result()
        devices.synchronize(self._spec)
        outputs = list(result.outputs)
        if order.hold:  # never before a timed call, which would ask the driver for the same memory again
            give_back_unused(devices.torch_device(self._spec))
            leaves = flatten(returned)[1]
            outputs = [self._with_overlap(o, leaf, inputs) for o, leaf in zip(outputs, leaves, strict=True)]
            self._held = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        return Done(nonce=order.nonce, spec=result.spec, outputs=tuple(outputs), span=span, kernels=kernels)

    def _with_overlap(self, output: Output, leaf: Any, inputs: Any) -> Output:
        if not isinstance(leaf, torch.Tensor) or leaf.numel() == 0:
            return output
        where = _extent(leaf)
        for name, others in (("input", _tensors(inputs)), ("earlier output", self._held)):
            if any(_overlaps(where, _extent(other)) for other in others if other.numel()):
                return Output(
                    type_name=output.type_name, dtype=output.dtype, shape=output.shape, device=output.device,
                    at=output.at, overlap=name,
                )
        return output


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in flatten(value)[1] if isinstance(leaf, torch.Tensor)]


def _extent(tensor: torch.Tensor) -> tuple[int, int]:
    """First and last byte's address that the elements span."""
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size()


def _overlaps(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
