# reason = "does not depend on"
import torch
import torch.nn as nn


class Model(nn.Module):
    """The mean of what was just normalised: zero up to rounding."""

    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(4, 16)

    def forward(self, x):
        return self.norm(x).mean(dim=(1, 2, 3))


def get_inputs():
    return [torch.rand(8, 16, 6, 6)]


def get_init_inputs():
    return []
