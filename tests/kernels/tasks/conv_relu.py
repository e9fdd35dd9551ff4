import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.conv(x))


batch = 4
inner = 8
outer = 16
side = 14


def get_inputs():
    return [torch.rand(batch, inner, side, side)]


def get_init_inputs():
    return [inner, outer]
