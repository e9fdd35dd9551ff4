"""What a candidate's outputs are compared with: eager's result, the same in fp64, and how far apart the two are."""
from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

import msgspec
import torch

from common.judge.check.cases import Case
from common.judge.check.inputs import CaseUnusable, build_model, make_inputs
from common.judge.check.measure import finite_share, is_inexact, rms, rms_difference
from common.judge.check.moves import MOVE, move, move_model, still, widen
from common.judge.check.policy import CheckPolicy, set_backend_precision
from common.judge.check.structure import flatten, map_tensors
from common.judge.check.sums import SumLengths
from common.judge.check.task import TaskModule, TaskProblem
from common.judge.check.widen import in_fp64
from common.judge.out_of_memory import noted
from common.logs import get_logger

log = get_logger()
T = TypeVar("T")

_MOVES, _MORE = 4, 8
"""How many moves are tried at first, and how many more where few values hang on them."""
_LARGE = 4 << 30
"""Bytes of a reference beyond which no more are tried: they take seconds of a leased device, and integers are kept."""


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """Size and error of one output: RMS over the elements that are finite in both results."""

    value: float
    """RMS of the fp64 result."""
    eager: float
    """RMS error of eager's result against it."""


@dataclass(frozen=True)
class Expected:
    """The reference of one case. Leaves are tensors (detached, on the device) or plain numbers.

    `unusable` says why the case cannot be judged by: the task does not accept it, or is not finite there.
    """

    task: TaskModule = field(repr=False)
    case: Case
    device: torch.device
    spec: str = ""
    eager: tuple[Any, ...] = field(default=(), repr=False)
    exact: tuple[Any, ...] = field(default=(), repr=False)
    scales: tuple[Scale | None, ...] = ()
    """None for a leaf that is not floating."""
    longest_sum: int = 1
    """Values that one of the task's functions adds up for one element of its result."""
    widened: bool = True
    """False where fp64 could not be had and `exact` is eager's own result."""
    aliases: tuple[bool, ...] = ()
    """Whether eager's own output is a view of an input."""
    written: int = 0
    """Bytes of memory that eager's outputs take: without views of inputs, and elements that are repeated once."""
    unusable: str = ""

    @property
    def usable(self) -> bool:
        return not self.unusable

    @property
    def nbytes(self) -> int:
        """Bytes held on the device, those of `spread` among them once it was asked for."""
        held = flatten([*self.eager, *self.exact, *self.__dict__.get("spread", ())])[1]
        return sum(t.numel() * t.element_size() for t in held if isinstance(t, torch.Tensor))

    @cached_property
    def spread(self) -> tuple[Any, ...]:
        """By output: how far each value of the fp64 result moves at most when inputs and weights move by a few units in
        their last place (see `moves`): what even a kernel as stable as can be may not avoid. A complex value's parts
        count as a last dimension. For integers and booleans: the results of the moves; None for plain numbers.

        Computed when first asked for: only a suspect needs it. Several moves are tried, so that a rounding or a
        threshold inside the task that a tiny move tips over is found where it is near.
        """
        spread = [still(exact, inexact=scale is not None) for scale, exact in zip(self.scales, self.exact, strict=True)]
        found = [self._move(spread, draw) for draw in range(_MOVES if self.widened else 0)]
        return tuple(spread) if any(found) else tuple(map(_assumed, spread, self.scales, self.eager))

    @cached_property
    def noise(self) -> tuple[float, ...]:
        """By output: RMS by which the inputs' own rounding, half a unit in the last place, moves the fp64 result."""
        return tuple(
            0.0 if scale is None else rms(moved) / MOVE for moved, scale in zip(self.spread, self.scales, strict=True)
        )

    @cached_property
    def closer(self) -> tuple[Any, ...]:
        """The spread, widened in place by more moves where the reference is not too large for them.

        A value beside a threshold is tipped over by four of five pairs of moves. With four more pairs one of 30,000 is
        missed, where it was one of 30 (`tests/check/test_moves.py` counts them).
        """
        self.noise  # noqa: B018 - the unit of error stays that of the first moves
        if self.widened and self.nbytes <= _LARGE:
            for draw in range(_MOVES, _MOVES + _MORE):
                self._move(self.spread, draw)
        return self.spread

    def _move(self, spread: Sequence[Any], draw: int) -> bool:
        """One move after the other: a large task's device has no room for the results of two."""
        moved = self._moved(draw)
        if moved is not None:
            for widest, leaf, exact in zip(spread, moved, self.exact, strict=True):
                widen(widest, leaf, exact)
        return moved is not None

    def _moved(self, draw: int) -> tuple[Any, ...] | None:
        """None where torch cannot, or has no memory for it. Every second draw is the one before it, turned round."""
        seed, back = self.case.seed + 1000 * (draw // 2), draw % 2 == 1

        def run() -> tuple[Any, ...] | None:
            model, inputs = build_model(self.task, self.case, self.device), self.inputs()
            moved = [move(inputs.pop(0), seed + i, back=back) for i in range(len(inputs))]
            return run_wide(move_model(model, seed, back=back), moved, own=True)

        return if_room(run)

    def inputs(self) -> list[Any]:
        """Made anew: to keep them would take memory."""
        return make_inputs(self.task, self.case, self.device)


def if_room(run: Callable[[], T]) -> T | None:
    """None where the device has too little memory left for it."""
    try:
        return run()
    except torch.OutOfMemoryError as error:
        noted(error)
        log.info("reference.no_room", error=str(error)[:300])
        torch.cuda.empty_cache()
        return None


def _assumed(still: Any, scale: Scale | None, eager: Any) -> Any:
    """Without fp64: a long fp32 sum's usual error, everywhere."""
    return still if scale is None else still.fill_(MOVE * torch.finfo(eager.dtype).eps * scale.value)


def reference(task: TaskModule, case: Case, device: torch.device | str, policy: CheckPolicy) -> Expected:
    """Compute a case's reference; once per task, case and device.

    Where fp64 cannot be had (an operation without it, no memory) eager stands in for it and the noise is estimated
    from the dtype. Raises TaskProblem where the task fails on its own inputs.
    """
    device = torch.device(device)
    blank = Expected(task=task, case=case, device=device)
    try:
        return _reference(blank, policy)
    except CaseUnusable as reason:
        return _unusable(blank, str(reason))
    except TaskProblem as problem:
        if not case.held_out:
            raise
        return _unusable(blank, str(problem))


def _unusable(expected: Expected, reason: str) -> Expected:
    return Expected(task=expected.task, case=expected.case, device=expected.device, unusable=reason)


def _reference(blank: Expected, policy: CheckPolicy) -> Expected:
    task, case, device = blank.task, blank.case, blank.device
    inputs = make_inputs(task, case, device)
    model = build_model(task, case, device)
    with SumLengths() as sums:
        spec, eager, aliases, written = run_eager(model, inputs, policy.precision)
    wide = run_wide(model, inputs)
    exact = wide if wide is not None else tuple(map(_as_double, eager))
    expected = Expected(
        task=task, case=case, device=device, spec=spec, eager=eager, exact=exact, widened=wide is not None,
        scales=tuple(map(_scale, eager, exact)), aliases=aliases, written=written,
        longest_sum=sums.longest,
    )
    share = min((finite_share(leaf) for leaf in eager if isinstance(leaf, torch.Tensor)), default=1.0)
    if share < policy.least_finite:
        return _unusable(blank, f"only {share:.0%} of the task's own result is finite")
    return expected


class Eager(NamedTuple):
    """The model's result in its own dtype; `aliases` and `written` as in Expected."""

    spec: str
    leaves: tuple[Any, ...]
    aliases: tuple[bool, ...]
    written: int


def run_eager(model: torch.nn.Module, inputs: Sequence[Any], precision: str) -> Eager:
    """TaskProblem where it raises."""
    set_backend_precision(precision)
    given = copy.deepcopy(list(inputs))
    storages = {x.untyped_storage().data_ptr() for x in flatten(given)[1] if isinstance(x, torch.Tensor)}
    try:
        with torch.no_grad():
            spec, leaves = flatten(copy.deepcopy(model)(*given))
    except ValueError as error:
        raise TaskProblem(f"the model's result cannot be compared: {error}") from None
    except Exception as error:
        noted(error)
        first = (str(error).strip().splitlines() or [""])[0]
        raise TaskProblem(f"the model does not run: {type(error).__name__}: {first}") from error
    aliases = tuple(isinstance(x, torch.Tensor) and x.untyped_storage().data_ptr() in storages for x in leaves)
    own = [x for x, alias in zip(leaves, aliases, strict=True) if isinstance(x, torch.Tensor) and not alias]
    written = sum(min(x.numel() * x.element_size(), x.untyped_storage().nbytes()) for x in own)
    kept = tuple(x.detach().clone() if isinstance(x, torch.Tensor) else x for x in leaves)
    return Eager(spec, kept, aliases, written)


def run_wide(
    model: torch.nn.Module,
    inputs: Sequence[Any],
    rounding: str | None = None,
    *,
    everywhere: bool = False,
    cut: bool = False,
    own: bool = False,
) -> tuple[Any, ...] | None:
    """The result's leaves in fp64 (or rounded, see Widen); None where torch cannot. With `own` nobody else needs the
    inputs: those that are fp64 are not copied."""
    try:
        wide = copy.deepcopy(model).double()
        given = map_tensors(inputs, partial(_own_wide, copied=not own))
        with torch.no_grad(), in_fp64(rounding, everywhere=everywhere, cut=cut):
            leaves = flatten(wide(*given))[1]
    except Exception as error:  # noqa: BLE001 - the edge to the user's code: whatever it raises, fp64 is not to be had
        log.info("reference.not_widened", error=f"{type(error).__name__}: {error}"[:300])
        if noted(error):
            torch.cuda.empty_cache()
        return None
    return tuple(_as_double(leaf) for leaf in leaves)


def _own_wide(tensor: torch.Tensor, *, copied: bool) -> torch.Tensor:
    """In fp64 where it is floating."""
    return tensor.to(torch.float64 if tensor.is_floating_point() else tensor.dtype, copy=copied)


def _as_double(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor) or not is_inexact(leaf):
        return leaf
    return leaf.detach().to(torch.complex128 if leaf.is_complex() else torch.float64)


def _scale(eager: Any, exact: Any) -> Scale | None:
    if not isinstance(eager, torch.Tensor) or not is_inexact(eager):
        return None
    return Scale(value=rms(exact), eager=rms_difference(eager, exact))
