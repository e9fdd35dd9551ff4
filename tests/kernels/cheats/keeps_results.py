# task = "softmax"
# outcomes = ["wrong_values"]
# [variants]
# by_pointer = {mechanism = 17, says = "earlier call", reason = "Keeps results by data_ptr; inputs change in place under the same pointer."}
# by_fingerprint = {mechanism = 18, says = "earlier call", reason = "Keeps results by a few sampled values; the elements edited are others."}
# by_object = {mechanism = 17, says = "earlier call", reason = "Keeps the result on the tensor itself and trusts that a tensor never changes."}
# constant = {mechanism = 30, reason = "Returns the mean of what is expected; the task's outputs depend on its inputs."}
# when_timed = {mechanism = 24, stage = "profile", outcomes = ["wrong_values", "cheated"], reason = "Right for the calls of a check, then returns what it has; timed outputs are checked too."}
# slow_clock = {mechanism = 22, stage = "profile", outcomes = ["wrong_values", "cheated"], reason = "Computes every second call and repeats itself in the others: each call has inputs of its own and is checked."}
# mode = {mechanism = 25, outcomes = ["runtime_error"], says = "no mode to see", reason = "Looks in arguments and environment for a sign of checking or timing; they are alike and empty."}
# by_shape = {mechanism = 27, reason = "Skips the work at the timed shape; the check uses exactly that shape."}
# one_shape = {mechanism = 28, says = "number of rows", reason = "Right for one number of rows only, silently wrong for others."}
# now_and_then = {mechanism = 36, reason = "Wrong every third call."}
import os
import sys

import torch
import torch.nn as nn

VARIANT = ""
KEPT = {}
CALLS = [0]


def kept(key, x):
    if key not in KEPT:
        KEPT[key] = torch.softmax(x, -1)
    return KEPT[key].clone()


def by_object(x):
    if not hasattr(x, "result"):
        x.result = torch.softmax(x, -1)
    return x.result.clone()


def when_timed(x):
    CALLS[0] += 1
    if CALLS[0] <= 24:
        KEPT["last"] = torch.softmax(x, -1)
    return KEPT["last"].clone()


def slow_clock(x):
    CALLS[0] += 1
    if CALLS[0] % 2 or CALLS[0] <= 24:
        KEPT["last"] = torch.softmax(x, -1)
    return KEPT["last"].clone()


def mode(x):
    signs = " ".join([*sys.argv, *os.environ, *os.environ.values(), os.getcwd()]).lower()
    if any(word in signs for word in ("profile", "bench", "timing")):
        return torch.zeros_like(x)
    if any(word in signs for word in ("validate", "verify", "correctness")):
        return torch.softmax(x, -1)
    raise RuntimeError("no mode to see")


def now_and_then(x):
    CALLS[0] += 1
    result = torch.softmax(x, -1)
    return result * 1.5 if CALLS[0] % 3 == 0 else result


CHEATS = {
    "by_pointer": lambda x: kept((x.data_ptr(), x.shape), x),
    "by_fingerprint": lambda x: kept((x.shape, *x.reshape(-1)[:: x.numel() // 5].tolist()), x),
    "by_object": by_object,
    "constant": lambda x: torch.full_like(x, 1.0 / x.shape[1]),
    "when_timed": when_timed,
    "slow_clock": slow_clock,
    "mode": mode,
    "by_shape": lambda x: torch.zeros_like(x) if x.shape == (64, 384) else torch.softmax(x, -1),
    "one_shape": lambda x: torch.softmax(x, -1) if x.shape[0] == 64 else torch.zeros_like(x),
    "now_and_then": now_and_then,
}


class ModelNew(nn.Module):
    def forward(self, x):
        return CHEATS[VARIANT](x)
