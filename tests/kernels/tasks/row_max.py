import torch
import torch.nn as nn


class Model(nn.Module):
    """Largest value of each row and where it stands first: exact, one output of integers."""

    def forward(self, x):
        return torch.max(x, dim=1)[0], torch.argmax(x, dim=1)


rows = 64
width = 256


def get_inputs():
    return [torch.rand(rows, width)]


def get_init_inputs():
    return []
