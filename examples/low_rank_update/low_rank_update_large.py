import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """
    Low-rank update of a residual stream: a short code is projected up to the full width, activated, scaled
    channel by channel and added to the residual. The product is thin; most of the work is in what follows it.
    """

    def __init__(self, rank, width):
        super().__init__()
        self.up = nn.Linear(rank, width)
        self.scale = nn.Parameter(0.5 + torch.rand(width))

    def forward(self, code, residual):
        """
        Args:
            code: [n_rows, rank]
            residual: [n_rows, width]

        Returns:
            The updated residual, [n_rows, width]
        """
        return residual + self.scale * F.mish(self.up(code))


n_rows = 8192
rank = 16
width = 4096


def get_inputs():
    return [torch.randn(n_rows, rank), torch.randn(n_rows, width)]


def get_init_inputs():
    return [rank, width]
