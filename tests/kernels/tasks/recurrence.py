import torch
import torch.nn as nn


class Model(nn.Module):
    """h[t] = a[t] * h[t-1] + x[t], h before the first step zero."""

    def forward(self, a, x):
        h = torch.zeros_like(x[:, 0])
        states = []
        for t in range(x.shape[1]):
            h = a[:, t] * h + x[:, t]
            states.append(h)
        return torch.stack(states, dim=1)


batch = 8
steps = 24
width = 16


def get_inputs():
    return [torch.rand(batch, steps, width), torch.rand(batch, steps, width)]


def get_init_inputs():
    return []
