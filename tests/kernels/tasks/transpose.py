import torch
import torch.nn as nn


class Model(nn.Module):
    """Moves values, computes nothing: every output must be exact."""

    def forward(self, x):
        return x.permute(0, 2, 1).contiguous()


batch = 8
rows = 48
columns = 20


def get_inputs():
    return [torch.rand(batch, rows, columns)]


def get_init_inputs():
    return []
