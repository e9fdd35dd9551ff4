"""Run a model's code in fp64, or rounded to a lower precision, whatever dtypes it names inside."""
from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from common.judge.check.measure import cut as in_pieces
from common.judge.check.structure import flatten, rebuild

_NARROW = (torch.float32, torch.float16, torch.bfloat16)
_CASTS = {torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16}
_PRODUCTS = {
    "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "addbmm", "addmv", "mv", "dot", "linear",
    "bilinear", "einsum", "tensordot", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "scaled_dot_product_attention", "chain_matmul", "inner", "outer",
}
_VIEWS = {"__get__", "view", "reshape", "permute", "transpose", "unsqueeze", "squeeze", "expand", "double"}
MANTISSA = {"tf32": 10, "bf16": 7}
"""Bits of mantissa kept beside the leading one."""


class Widen(TorchFunctionMode):
    """Every floating tensor a function takes is fp64, and so is every dtype it is told.

    `rounding` names the precision operands are rounded to: those of products only (as tensor cores do), or, with
    `everywhere`, those and the results of all functions (as a kernel that stores in that precision does). With `cut`
    the bits beyond are dropped instead of rounded.
    """

    def __init__(self, rounding: str | None = None, *, everywhere: bool = False, cut: bool = False) -> None:
        super().__init__()
        self._bits = MANTISSA[rounding] if rounding else None
        self._everywhere = everywhere
        self._cut = cut

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _CASTS:
            return args[0].double()
        name = getattr(func, "__name__", "")
        keep = 1 if _writes_first(name) else 0
        change = self._round_operand if self._bits and (self._everywhere or name in _PRODUCTS) else _wide
        args = (*args[:keep], *(_map(change, item) for item in args[keep:]))
        kwargs = {key: _map(change, item) if key != "out" else item for key, item in (kwargs or {}).items()}
        result = func(*args, **kwargs)
        return _map(self._round_operand, result) if self._everywhere and not keep and _computes(name) else result

    def _round_operand(self, item: Any) -> Any:
        item = _wide(item)
        if self._bits and isinstance(item, torch.Tensor) and item.dtype == torch.float64:
            return round_mantissa(item, self._bits, cut=self._cut)
        return item


def _writes_first(name: str) -> bool:
    return name in ("__setitem__", "__set__") or (name.endswith("_") and not name.startswith("__"))


def _computes(name: str) -> bool:
    """Views and attribute reads keep their storage; rounding them would only copy."""
    return name not in _VIEWS


def _wide(item: Any) -> Any:
    if isinstance(item, torch.dtype):
        return torch.float64 if item in _NARROW else item
    if isinstance(item, torch.Tensor) and item.dtype in _NARROW:
        return item.double()
    return item


def _map(change: Callable[[Any], Any], item: Any) -> Any:
    if type(item) in (tuple, list):
        return type(item)(_map(change, part) for part in item)
    return change(item)


def round_mantissa(values: torch.Tensor, bits: int, *, cut: bool = False) -> torch.Tensor:
    """fp64 values rounded to nearest (or cut off) with `bits` of mantissa; the exponent's range is kept."""
    rounded = torch.empty_like(values, memory_format=torch.contiguous_format)
    for into, piece in in_pieces(rounded, values):
        mantissa, exponent = torch.frexp(piece)
        scaled = mantissa * 2 ** (bits + 1)
        into.copy_(torch.ldexp((torch.trunc(scaled) if cut else torch.round(scaled)) / 2 ** (bits + 1), exponent))
    return rounded


def rounded_inputs(values: list[Any], bits: int) -> list[Any]:
    """fp64 copies of the floating tensors, rounded; the rest as it is."""
    leaves = flatten(values)[1]
    return list(rebuild(values, [
        round_mantissa(x.double(), bits) if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in leaves
    ]))


def rounded_model(model: torch.nn.Module, bits: int) -> torch.nn.Module:
    """An fp64 copy with rounded parameters and buffers."""
    copied = copy.deepcopy(model).double()
    for tensor in (*copied.parameters(), *copied.buffers()):
        if tensor.is_floating_point():
            tensor.data = round_mantissa(tensor.data, bits)
    return copied


@contextmanager
def in_fp64(rounding: str | None = None, *, everywhere: bool = False, cut: bool = False) -> Iterator[None]:
    """Within, torch computes in fp64 by default and widens what is narrower."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with Widen(rounding, everywhere=everywhere, cut=cut):
            yield
    finally:
        torch.set_default_dtype(before)
