import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, wide, narrow):
        super().__init__()
        self.linear = nn.Linear(wide, narrow)

    def forward(self, x):
        return torch.nn.functional.gelu(self.linear(x))


rows = 64
wide = 256
narrow = 128


def get_inputs():
    return [torch.rand(rows, wide)]


def get_init_inputs():
    return [wide, narrow]
