import torch
import torch.nn as nn


class Model(nn.Module):
    """Several outputs of several dtypes, by name."""

    def forward(self, x):
        mean = x.mean(dim=1, keepdim=True)
        above = x > 0.5
        return {"mean": mean.squeeze(1), "above": above, "count": above.sum(dim=1)}


rows = 40
width = 200


def get_inputs():
    return [torch.rand(rows, width)]


def get_init_inputs():
    return []
