# reason = "does not depend on"
import torch
import torch.nn as nn


class Model(nn.Module):
    """Largest value of one value minus itself: zero whatever comes in."""

    def forward(self, x):
        y = torch.max(x, dim=1, keepdim=True).values
        return torch.nn.functional.gelu(y - y.mean(dim=1, keepdim=True))


def get_inputs():
    return [torch.rand(32, 64)]


def get_init_inputs():
    return []
