# task = "softmax"
# outcomes = ["wrong_values"]
# [variants]
# main_module = {mechanism = 6, reason = "Replaces every comparing or judging function it finds in the modules of its process; the judge's are in another."}
# comparisons = {mechanism = 9, reason = "Makes torch's comparison functions say yes; the judge compares in its own process."}
# judge_package = {mechanism = 6, reason = "Imports the judge's own package and replaces its comparison: that changes this process alone."}
# worker = {mechanism = 15, outcomes = ["wrong_values", "cheated", "runtime_error"], reason = "Replaces the functions that send its outputs; whatever is sent, the values are compared."}
# obfuscated = {mechanism = 41, reason = "Hides what it does from readers of the source; the verdict never rests on them."}
# swallowed_dead_branch = {mechanism = 40, reason = "The branch that would compute is never taken."}
import base64
import gc
import sys
import types

import torch
import torch.nn as nn

VARIANT = ""
WORDS = ("compare", "judge", "check", "verify", "allclose", "assert_close", "validate", "finding")


def yes(*_, **__):
    return True


def none(*_, **__):
    return None


def main_module(x):
    for module in list(sys.modules.values()):
        if isinstance(module, types.ModuleType) and not module.__name__.startswith(("torch", "candidate")):
            for name, value in list(vars(module).items()):
                if isinstance(value, types.FunctionType) and any(word in name for word in WORDS):
                    setattr(module, name, yes)
    return torch.zeros_like(x)


def comparisons(x):
    torch.allclose = torch.equal = torch.testing.assert_close = yes
    torch.isclose = torch.isfinite = lambda a, *_, **__: torch.ones_like(a, dtype=torch.bool)
    torch.Tensor.allclose = torch.Tensor.equal = yes
    return torch.zeros_like(x)


def judge_package(x):
    import common.judge.check as check
    import common.judge.check.compare as compare

    for place in (check, compare):
        place.compare = none
    compare._form = compare._values = none
    return torch.zeros_like(x)


def worker(x):
    """Every method that delivers outputs says that they are as expected."""
    for thing in gc.get_objects():
        if type(thing).__name__ == "Caller":
            type(thing)._with_overlap = lambda self, output, *_: output
            type(thing)._held = []
    return torch.zeros_like(x)


HIDDEN = base64.b64encode(b"result = torch.zeros_like(x)").decode()


def obfuscated(x):
    scope = {"torch": torch, "x": x}
    exec(base64.b64decode(HIDDEN).decode(), scope)
    return scope["result"]


def swallowed_dead_branch(x):
    if x.numel() < 0:
        return torch.softmax(x, -1)
    return x.new_full(x.shape, 1.0 / x.shape[1])


class ModelNew(nn.Module):
    def forward(self, x):
        return globals()[VARIANT](x)
