"""How long the sums of a task are: an honest kernel that adds one value after another errs with their length.

A sequential fp32 sum of K values of one sign has an RMS error of about 0.17 eps sqrt(K) relative to the sum (each
addition rounds a partial sum that grows linearly), while eager's blocked sums stay near 0.2 to 0.5 eps.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_INNER = {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "dot", "linear", "inner"}
_ADDED = {"addmm", "baddbmm", "addbmm", "addmv"}
_CONTRACTED = {"einsum", "tensordot", "bilinear", "chain_matmul"}
_CONVOLUTIONS = {f"conv{d}d" for d in "123"}
_TRANSPOSED = {f"conv_transpose{d}d" for d in "123"}
_REDUCTIONS = {
    "sum", "mean", "nansum", "nanmean", "var", "std", "var_mean", "std_mean", "norm", "vector_norm", "matrix_norm",
    "logsumexp", "prod", "cosine_similarity", "pairwise_distance", "trace",
}
_ALONG = {
    "softmax", "log_softmax", "softmin", "cumsum", "cumprod", "logcumsumexp", "normalize",
    "scaled_dot_product_attention", "lstm", "gru", "rnn_tanh", "rnn_relu",
}
_AVERAGED = tuple(f"avg_pool{d}d" for d in "123")
_NORMS = {"layer_norm", "group_norm", "instance_norm", "rms_norm", "native_layer_norm", "local_response_norm"}


class SumLengths(TorchFunctionMode):
    """Watches the functions a model calls; `longest` is the most values any of them adds up."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 1

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [item for item in (*args, *(kwargs or {}).values()) if isinstance(item, torch.Tensor)]
        if tensors:
            self.longest = max(self.longest, sum_length(getattr(func, "__name__", ""), tensors, result))
        return result


def sum_length(name: str, tensors: list[torch.Tensor], result: Any) -> int:
    """Values added up for one element of the result of the function `name`; an upper estimate, 1 where it adds none."""
    first, second = tensors[0], tensors[1] if len(tensors) > 1 else tensors[0]
    if first.dim() == 0:
        return 1
    if name in _INNER:
        return first.shape[-1]
    if name in _ADDED:
        return second.shape[-1] if second.dim() else 1
    if name in _CONVOLUTIONS:
        return second.numel() // max(1, second.shape[0])
    if name in _TRANSPOSED:
        return second.numel() // max(1, second.shape[1])
    if name in _CONTRACTED:
        return int((first.numel() * second.numel() / max(1, _numel(result))) ** 0.5)
    if name in _REDUCTIONS or name.endswith(("_loss", "_entropy", "kl_div")):
        return first.numel() // max(1, _numel(result))
    if name in _ALONG:
        return max(first.shape)
    if name in _NORMS:
        return first.numel() // max(1, first.shape[0])
    if name.endswith(_AVERAGED):
        return max(1, first.numel() // max(1, _numel(result)))
    return first.numel() // max(1, first.shape[1]) if name == "batch_norm" and first.dim() > 1 else 1


def _numel(result: Any) -> int:
    parts = result if isinstance(result, (tuple, list)) else (result,)
    return max((part.numel() for part in parts if isinstance(part, torch.Tensor)), default=1)
