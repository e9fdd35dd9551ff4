import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """Rows of unit length; a row of zeros stays zero."""

    def forward(self, x):
        return F.normalize(x, dim=1)


rows = 64
width = 128


def get_inputs():
    return [torch.rand(rows, width)]


def get_init_inputs():
    return []
