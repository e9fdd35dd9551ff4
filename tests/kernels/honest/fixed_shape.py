# task = "softmax"
# reason = "Written for one shape and says so: labelled, not rejected."
# labels = ["shape_specialised"]
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        if x.shape != (64, 384):
            raise ValueError(f"this kernel is for (64, 384), not {tuple(x.shape)}")
        e = torch.exp(x - x.amax(-1, keepdim=True))
        return e / e.sum(-1, keepdim=True)
