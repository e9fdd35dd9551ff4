"""The inputs of a case: drawn on the device from its seed, and the model whose weights come from its other seed."""
from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import msgspec
import torch

from common.judge.check.cases import Case, Layout
from common.judge.check.draws import edit, has_square_structure, redraw
from common.judge.check.structure import flatten, map_tensors, rebuild
from common.judge.check.task import TaskModule, TaskProblem, call, load_task

_GAP = 64
"""Most elements between the rows of a sliced tensor. As many as a row has would double what a kernel's offsets span,
past 2**31 for some task whose own inputs stay below it."""


class CaseUnusable(Exception):
    """The task has no such case; the message says why."""


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Every generator a task may draw from, seeded; restored afterwards."""
    state = random.getstate()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices, device_type="cuda" if devices else "cpu"):
        _seed(seed)
        try:
            yield
        finally:
            random.setstate(state)


def _seed(seed: int) -> None:
    """As torch.manual_seed, which without a GPU puts the seed by for one that may come, with the caller's whole stack:
    that takes longer than a small draw."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)


@lru_cache(maxsize=64)
def _variant(source: str, constants: tuple[tuple[str, int], ...]) -> TaskModule:
    return load_task(source, constants=dict(constants))


def task_for(task: TaskModule, case: Case) -> TaskModule:
    """The task itself, or the task with the case's constants."""
    return _variant(task.source, case.constants) if case.constants else task


def make_init_inputs(task: TaskModule, case: Case) -> list[Any]:
    """What `Model` and `ModelNew` are built with, drawn on the host under the weight seed."""
    with seeded(case.weight_seed, torch.device("cpu")):
        values = call(task_for(task, case), "get_init_inputs")
    if isinstance(values, (tuple, list)):
        return list(values)
    raise TaskProblem(f"get_init_inputs() returns {type(values).__name__}: it must return a list")


def build_model(task: TaskModule, case: Case, device: torch.device | str) -> torch.nn.Module:
    """The task's model under the case's weight seed, on the device.

    Built on the host, as a candidate's is: the same seed gives both the same weights whatever their names.
    """
    device = torch.device(device)
    arguments = make_init_inputs(task, case)
    built_on = "meta" if device.type == "meta" else "cpu"
    with seeded(case.weight_seed, torch.device("cpu")), torch.device(built_on):
        model = call(task_for(task, case), "Model", *arguments)
    if not isinstance(model, torch.nn.Module):
        raise TaskProblem(f"Model is {type(model).__name__}, not a torch.nn.Module")
    return model.to(device)


def make_inputs(task: TaskModule, case: Case, device: torch.device | str) -> list[Any]:
    """The positional inputs of a case, on the device.

    CaseUnusable where the task has no such case. The same task, case and device give the same values; on the meta
    device there are shapes and layouts alone. A case that edits another gives new tensors with the values the other's
    buffers hold after the edit: writing them into those buffers is the caller's part.
    """
    device = torch.device(device)
    if case.edits:
        return _edited(task, case, device)
    own = draw_own(task, case, device)
    if case.rows != "own":
        own = _with_rows(task, case, own, device)
    if device.type == "meta":
        return map_tensors(own, lambda leaf: _lay_out(leaf, case.layout))
    generator = torch.Generator(device).manual_seed(case.seed)
    return map_tensors(own, lambda leaf: _lay_out(redraw(leaf, case.kind, generator), case.layout))


def draw_own(task: TaskModule, case: Case, device: torch.device) -> list[Any]:
    """What the task itself draws under the case's seed, on the device."""
    with seeded(case.seed, device):
        return _drawn(task_for(task, case), device)


def draw_series(task: TaskModule, cases: Sequence[Case], device: torch.device) -> list[list[Any]]:
    """The same for one case after the other, each as by itself; the generators are saved and restored once."""
    series = []
    with seeded(0, device):
        for case in cases:
            _seed(case.seed)
            series.append(_drawn(task_for(task, case), device))
    return series


def _drawn(task: TaskModule, device: torch.device) -> list[Any]:
    try:
        with torch.device(device):
            values = call(task, "get_inputs")
    except TaskProblem:
        # Some tasks draw with a host generator, which refuses a device: draw there and copy.
        values = call(task, "get_inputs")
    if not isinstance(values, (tuple, list)):
        raise TaskProblem(f"get_inputs() returns {type(values).__name__}: it must return a list")
    try:
        leaves = flatten(list(values))[1]
    except ValueError as error:
        raise TaskProblem(f"get_inputs(): {error}") from None
    return list(rebuild(list(values), [_to(leaf, device) for leaf in leaves]))


def _to(leaf: Any, device: torch.device) -> Any:
    return leaf.detach().to(device) if isinstance(leaf, torch.Tensor) else leaf


def _edited(task: TaskModule, case: Case, device: torch.device) -> list[Any]:
    base = make_inputs(task, msgspec.structs.replace(case, edits=None), device)
    generator = torch.Generator(device).manual_seed(case.seed ^ 1)
    leaves = flatten(base)[1]
    return list(rebuild(base, [edit(x, generator) if isinstance(x, torch.Tensor) else x for x in leaves]))


def _with_rows(task: TaskModule, case: Case, own: list[Any], device: torch.device) -> list[Any]:
    """`own` with another number of rows: cut, or joined with a second draw."""
    leaves = flatten(own)[1]
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.dim() > 0]
    if not tensors:
        raise CaseUnusable("no input has rows")
    count = tensors[0].shape[0]
    wanted = other_count(count, case.rows)
    second = flatten(draw_own(task, msgspec.structs.replace(case, seed=case.seed ^ 2), device))[1]
    chosen = tensors[:1] if case.first_only else [leaf for leaf in tensors if leaf.shape[0] == count]
    if any(has_square_structure(leaf) for leaf in chosen):
        raise CaseUnusable("an input's rows are tied to its columns")
    picked = {id(leaf) for leaf in chosen}
    changed = [
        torch.cat([leaf, more])[:wanted] if id(leaf) in picked else leaf
        for leaf, more in zip(leaves, second, strict=True)
    ]
    return list(rebuild(own, changed))


def other_count(count: int, rows: str) -> int:
    """A number of rows that is no multiple of the usual tiles; CaseUnusable where there is none."""
    wanted = count // 2 + (count // 2 + 1) % 2 if rows == "fewer" else min(2 * count, count + count // 4 + 1)
    if wanted == count or wanted < 1:
        raise CaseUnusable(f"{count} rows cannot become {rows}")
    return wanted


def _lay_out(values: torch.Tensor, layout: Layout) -> torch.Tensor:
    """The same values in storage with gaps (filled with other values) or with the last two dimensions swapped."""
    if layout == "own" or values.dim() == 0 or values.numel() == 0:
        return values
    if layout == "strided" and values.dim() > 1:
        return values.mT.contiguous().mT
    if values.dim() == 1:
        return torch.stack([values, values.flip(0)], -1)[:, 0]
    return torch.cat([values, values.flip(-1)[..., :_GAP]], -1)[..., : values.shape[-1]]
