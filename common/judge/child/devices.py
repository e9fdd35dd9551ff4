"""The device of a candidate's process."""
from __future__ import annotations

from typing import Any

import torch

from common.judge.protocol import SpareSpec


def torch_device(spec: SpareSpec) -> torch.device:
    return torch.device("cuda", spec.index) if spec.role == "cuda" else torch.device("cpu")


def prepare(spec: SpareSpec) -> None:
    """Create the CUDA context ahead of the first candidate (0.3 s); nothing to do on a CPU."""
    if spec.role == "cuda":
        torch.cuda.set_device(spec.index)
        torch.ones(1, device=torch_device(spec)).add_(1)
        torch.cuda.synchronize()


def synchronize(spec: SpareSpec) -> None:
    """Wait for everything on the device, whatever stream it is on."""
    if spec.role == "cuda":
        torch.cuda.synchronize()


def inline_tensor(body: Any) -> Any:
    """A tensor that came inside a message: dtype, shape and bytes."""
    dtype = getattr(torch, body["dtype"])
    if not body["bytes"]:
        return torch.empty(body["shape"], dtype=dtype)
    return torch.frombuffer(bytearray(body["bytes"]), dtype=dtype).reshape(body["shape"])
