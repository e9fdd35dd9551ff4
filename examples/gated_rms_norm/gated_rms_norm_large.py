import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """
    Gated RMS normalisation, as it stands between a state-space layer and its output projection: each row is
    divided by its root mean square, scaled by a learned weight, and gated with SiLU.
    """

    def __init__(self, n_features, eps):
        super().__init__()
        self.weight = nn.Parameter(1.0 + 0.1 * torch.randn(n_features))
        self.eps = eps

    def forward(self, hidden, gate):
        """
        Args:
            hidden: [n_rows, n_features]
            gate: [n_rows, n_features]

        Returns:
            The normalised and gated rows, [n_rows, n_features]
        """
        mean_square = hidden.pow(2).mean(dim=-1, keepdim=True)
        normed = hidden * torch.rsqrt(mean_square + self.eps)
        return normed * self.weight * F.silu(gate)


n_rows = 8192
n_features = 3072


def get_inputs():
    return [torch.randn(n_rows, n_features), torch.randn(n_rows, n_features)]


def get_init_inputs():
    return [n_features, 1e-5]
