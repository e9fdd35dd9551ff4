import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Kernel regression with a Cauchy kernel: each query gets the average of the points' values,
    weighted by 1 / (1 + squared distance / bandwidth^2).
    """

    def __init__(self, bandwidth):
        super().__init__()
        self.bandwidth = bandwidth

    def forward(self, queries, points, values):
        """
        Args:
            queries: [n_queries, n_features]
            points: [n_points, n_features]
            values: [n_points]

        Returns:
            The estimates at the queries, [n_queries]
        """
        offsets = queries.unsqueeze(1) - points.unsqueeze(0)
        distances = offsets.pow(2).sum(dim=-1) / self.bandwidth**2
        weights = 1.0 / (1.0 + distances)
        return (weights * values).sum(dim=1) / weights.sum(dim=1)


n_queries = 4096
n_points = 3000
n_features = 24


def get_inputs():
    queries = torch.randn(n_queries, n_features)
    points = torch.randn(n_points, n_features)
    values = torch.randn(n_points)
    return [queries, points, values]


def get_init_inputs():
    return [4.0]
