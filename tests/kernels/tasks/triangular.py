import torch
import torch.nn as nn


class Model(nn.Module):
    """The product of two lower triangular matrices: a kernel may skip the zeros."""

    def forward(self, a, b):
        return torch.tril(a @ b)


N = 96


def get_inputs():
    return [torch.tril(torch.rand(N, N)), torch.tril(torch.rand(N, N))]


def get_init_inputs():
    return []
