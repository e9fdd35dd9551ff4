"""The likely cause of a finding, with the way to mend it: a table of rules, the first that holds speaks.

The candidate's source is looked at for hints only; a verdict never rests on it.
"""
from __future__ import annotations

from collections.abc import Callable

from common.judge.check.finding import Finding
from common.messages.judgement import Outcome

Rule = tuple[Callable[[Finding, str], bool], str]


def cause_of(finding: Finding, source: str = "") -> str:
    """One or two sentences, or an empty string where no cause is known."""
    return next((text for holds, text in _RULES if holds(finding, source)), "")


def _pattern(*words: str) -> Callable[[Finding, str], bool]:
    return lambda finding, source: finding.pattern.startswith(words)


def _both(*conditions: Callable[[Finding, str], bool]) -> Callable[[Finding, str], bool]:
    return lambda finding, source: all(holds(finding, source) for holds in conditions)


def _mentions(*words: str) -> Callable[[Finding, str], bool]:
    return lambda finding, source: any(word in source for word in words)


def _kind(*kinds: str) -> Callable[[Finding, str], bool]:
    return lambda finding, source: finding.case.kind in kinds


def _downgraded(name: str) -> Callable[[Finding, str], bool]:
    return lambda finding, source: finding.outcome is Outcome.PRECISION_DOWNGRADE and finding.precision == name


_NOT_FINITE = _pattern("nan", "inf", "finite", "kind")
_FAST_MATH = _mentions("fast-math", "fast_math", "Ofast", "__expf", "__fdividef", "reciprocal-math")

_RULES: tuple[Rule, ...] = (
    (_both(_downgraded("tf32"), _mentions("tl.dot")),
     'On fp32 operands Triton\'s tl.dot computes in tf32 unless told otherwise: pass input_precision="ieee".'),
    (_both(_downgraded("tf32"), _mentions("allow_tf32", "set_float32_matmul_precision")),
     "The kernel turns tf32 on, and this task asks for strict fp32: leave torch's matmul precision as it is."),
    (_both(_downgraded("tf32"), _mentions("half", "float16", "__half")),
     "Values pass through fp16, and this task asks for strict fp32: keep operands and sums in fp32."),
    (_downgraded("tf32"),
     "The result has about 10 bits of mantissa, as tf32 or fp16 operands give; this task asks for strict fp32: keep "
     'operands and sums in fp32 (tl.dot: input_precision="ieee"; cuBLAS: no tf32 math mode; wmma/mma: not for fp32).'),
    (_downgraded("bf16"),
     "The result has about 7 bits of mantissa, as bf16 gives, and this task asks for more: keep operands and sums in "
     "fp32."),
    (_pattern("aliased"),
     "Return memory of the call's own: allocate the output in forward, or clone a buffer that is used again."),
    (_pattern("stale"),
     "The result is that of an earlier call. Nothing may be cached by data_ptr or shape alone, and a CUDA graph must "
     "copy the new inputs into its static ones and return a clone: inputs change in place under the same pointer."),
    (_both(_NOT_FINITE, _FAST_MATH),
     "-ffast-math (or --use_fast_math, __expf, __fdividef) turns a division into a reciprocal and assumes that nothing "
     "is infinite: x / (1 + exp(-g)) becomes NaN at large negative g. Compile without it."),
    (_both(_NOT_FINITE, _kind("scaled", "large")),
     "An intermediate overflows on large inputs: subtract the row's maximum before exp, write sigmoid so that exp "
     "never overflows into inf * 0, and avoid reciprocals of infinite values (-ffast-math makes them)."),
    (_both(_NOT_FINITE, _kind("sparse", "integers", "small")),
     "A division by zero, or 0/0: keep the epsilon or clamp of the task for rows of zeros and tiny values."),
    (_NOT_FINITE,
     "Uninitialised memory or lanes past the end reach the result: mask loads with a neutral value and write every "
     "element of the output."),
    (lambda finding, source: finding.case.edits is not None,
     "Right on the first call, wrong after a few elements changed in place under the same pointer: nothing derived "
     "from an input may be kept across calls."),
    (lambda finding, source: finding.case.layout != "own",
     "The inputs are not contiguous here (a slice or a transposed view): call .contiguous() first, or use the "
     "strides."),
    (lambda finding, source: finding.case.rows != "own",
     "The inputs have another number of rows here: take sizes from the input's shape at every call, compute the grid "
     "from them, and mask the tail."),
    (lambda finding, source: bool(finding.case.constants),
     "The shape of the problem differs here: take sizes from the inputs and the arguments of __init__."),
    (lambda finding, source: finding.case.name.startswith("other-weights"),
     "The model was built anew with other weights here: take them from this instance, not from a module-level cache."),
    (_kind("normal"),
     "Right on the task's own inputs, wrong on normally distributed ones: nothing may assume a sign (inputs >= 0) or a "
     "range."),
    (_kind("negative"), "Right on other inputs, wrong on negative ones: nothing may assume inputs >= 0."),
    (_kind("large", "scaled"),
     "Right on small inputs, wrong on large ones: a clamp, an approximation of exp or erf with a limited range, or "
     "sums of squares that cancel."),
    (_kind("small"), "Right on other inputs, wrong on small ones: check the epsilon and absolute thresholds."),
    (_kind("sparse", "integers"), "Wrong where values are equal or zero: check ties, comparisons and empty rows."),
    (_pattern("zeros", "constant"),
     "Part of the output is never written: check the grid, the loop bounds and the masks, and that no block returns "
     "early."),
    (_pattern("tail"),
     "The tail is wrong: a size that is no multiple of the block or vector width needs a masked or scalar remainder."),
    (_pattern("block"), "One block is wrong: check the offsets and bounds of the blocks at the edge."),
    (_pattern("transposed"), "The values are right but in transposed order: swap the indices of the store."),
    (_pattern("scaled"), "All values are off by one factor: check a scale, a mean's divisor or a doubly counted part."),
    (_pattern("sign"), "The wrong values have the opposite sign."),
    (lambda finding, source: finding.limit is not None and finding.pattern in ("", "everywhere"),
     "Everything is off by more than rounding: compare the formula with the task's (an approximation such as tanh-GELU "
     "for the exact one, a biased for an unbiased variance), and accumulate sums in fp32."),
)
