import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, q, k, v):
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        return torch.softmax(scores, dim=-1) @ v


batch = 2
heads = 4
length = 32
width = 16


def get_inputs():
    return [torch.rand(batch, heads, length, width) for _ in range(3)]


def get_init_inputs():
    return []
