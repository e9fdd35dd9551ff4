"""Small recordings for tests: light kernels without a compiler, with known outcomes, at depths the trigger forks at."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TASK = '''\
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size))

    def forward(self, x):
        return torch.relu(x * self.weight + 1.0).sum(dim=-1)


def get_inputs():
    return [torch.randn(64, 256)]


def get_init_inputs():
    return [256]
'''

_KERNEL = '''\
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size))

    def forward(self, x):
        variant = {variant}
        {body}
'''
BODIES = {
    "passed": "return torch.addcmul(torch.ones_like(x), x, self.weight).clamp_min(0.0).sum(dim=-1)",
    "wrong_values": "return torch.relu(x * self.weight + 1.001).sum(dim=-1)",
    "wrong_shape": "return torch.relu(x * self.weight + 1.0).sum(dim=-1, keepdim=True)",
    "runtime_error": "raise RuntimeError('no such kernel')",
    "compile_error": "return torch.relu(x * self.weight +",
}
FILLER = "Each row is independent, so one pass over a row can do everything while it is in the cache. "


@dataclass
class IterationText:
    """The kernels of one iteration by outcome: forks in order of depth, then the main answer."""

    forks: Sequence[str]
    main: str
    offsets: list[int] = field(default_factory=list)


def kernel(outcome: str, variant: int) -> str:
    return _KERNEL.format(body=BODIES[outcome], variant=variant)


def write_recording(
    folder: Path, iterations: Sequence[tuple[Sequence[str], str]], *, rate: float = 400.0, filler: int = 9,
    kernel: Callable[[str, int], str] = kernel,
) -> tuple[Path, Path]:
    """Write `task.py` and `recording/`; returns both. An iteration is (outcomes of its forks, outcome of its answer).

    `kernel` writes a source from an outcome and a number of its own. Every fork sits right behind a closed fence of its
    own; `filler` sentences stand between two of them.
    """
    recording = folder / "recording"
    recording.mkdir(parents=True)
    task = folder / "task.py"
    task.write_text(TASK)
    (recording / "recording.toml").write_text(
        f'format = 1\nmodel = "small"\nrate = {rate}\ntask = "../task.py"\n'
    )
    variant = 0
    for number, (forks, main) in enumerate(iterations, 1):
        one = recording / str(number)
        one.mkdir()
        reasoning = f"Iteration {number}: the task is bound by memory. "
        for outcome in forks:
            variant += 1
            reasoning += FILLER * filler
            source = kernel(outcome, variant)
            (one / f"fork-{len(reasoning)}.md").write_text(f"```python\n{source}```\n")
            reasoning += f"\n```python\ndef plan_{variant}(x, weight):\n    return fused(x, weight, {variant})\n```\n"
        reasoning += FILLER * filler
        variant += 1
        (one / "reasoning.md").write_text(reasoning)
        (one / "answer.md").write_text(f"The kernel:\n\n```python\n{kernel(main, variant)}```\n")
    return task, recording
