import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return self.norm(x)


rows = 48
width = 320


def get_inputs():
    return [torch.rand(rows, width)]


def get_init_inputs():
    return [width]
