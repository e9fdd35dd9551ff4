# reason = "depends on earlier calls"
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = torch.zeros(64)

    def forward(self, x):
        self.seen = 0.5 * self.seen + x.mean(dim=0)
        return x - self.seen


def get_inputs():
    return [torch.rand(32, 64)]


def get_init_inputs():
    return []
