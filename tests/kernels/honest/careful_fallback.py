# task = "linear_gelu"
# reason = "Refuses in words what the task never asks: another layout. It is labelled, not rejected."
# labels = ["layout_specialised"]
import torch
import torch.nn as nn
import torch.nn.functional as F


class ModelNew(nn.Module):
    def __init__(self, wide, narrow):
        super().__init__()
        self.linear = nn.Linear(wide, narrow)

    def forward(self, x):
        if not x.is_contiguous():
            raise ValueError("x must be contiguous")
        return F.gelu(F.linear(x, self.linear.weight, self.linear.bias))
