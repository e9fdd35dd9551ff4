import torch
import torch.nn as nn


class Model(nn.Module):
    """Rows rounded to 8 bits and back: a discontinuous function, where a rounding may tip a value over."""

    def forward(self, x):
        scale = x.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127.0
        return torch.round(x / scale) * scale


rows = 32
width = 128


def get_inputs():
    return [torch.rand(rows, width) * 2 - 1]


def get_init_inputs():
    return []
