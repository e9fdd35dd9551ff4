"""Whose kernels did the work: the candidate's own, or a library's. Pure.

A kernel is the candidate's own where its bare name stands in the source outside of comments and its full one is none of
a library's. Every launch takes about `LAUNCH` on a device however little it does, so that much of each is not counted:
a kernel that copies one value beside a library's product has no share in the work.

A name can be forged; the label tells honest from careless and lazy, the verdict and the figure never rest on it.
"""
from __future__ import annotations

import re
from collections.abc import Iterable

from common.judge.protocol import Kernel

LAUNCH = 2e-6
"""Seconds: what an empty kernel takes on current GPUs by CUPTI's clock."""
LEAST_SHARE = 0.05
"""Share of the counted time below which a candidate's own kernels are no rewrite of anything."""
_LIBRARIES = ("at::", "c10::", "cub::", "thrust::", "cutlass::", "cublas", "cudnn", "nvjet", "magma")
_LINE = r"//[^\n]*|#(?!\s*(?:include|define|pragma|if|endif|else))[^\n]*"
_LINE_COMMENT, _COMMENT = re.compile(_LINE), re.compile(rf"{_LINE}|/\*.*?\*/", re.DOTALL)
_ARGUMENTS = re.compile(r"[<(].*", re.DOTALL)


def is_own(kernel: Kernel, words: frozenset[str]) -> bool:
    """`words`: those of the source, see `words_of`."""
    return not _unadorned(kernel.name).startswith(_LIBRARIES) and bare(kernel.name) in words


def bare(name: str) -> str:
    """`void ns::softmax<float, 4>(float const*)` is `softmax`."""
    return _ARGUMENTS.sub("", _unadorned(name)).rsplit("::", 1)[-1].strip()


def _unadorned(name: str) -> str:
    return name.removeprefix("void ").replace("(anonymous namespace)::", "")


def words_of(source: str) -> frozenset[str]:
    """Outside of comments. What opens behind the last end of a comment opens none, and is not looked for: to do so for
    each takes a time that grows with the square of their number."""
    closed = source.rfind("*/") + 2 if "*/" in source else 0
    code = _COMMENT.sub(" ", source[:closed]) + _LINE_COMMENT.sub(" ", source[closed:])
    return frozenset(re.findall(r"\w+", code))


def own_share(kernels: Iterable[Kernel], source: str) -> float | None:
    """The candidate's own share of the device time counted; None where no kernel took more than a launch."""
    words, own, total = words_of(source), 0.0, 0.0
    for kernel in kernels:
        counted = max(0.0, kernel.seconds - LAUNCH)
        total += counted
        own += counted if is_own(kernel, words) else 0.0
    return own / total if total else None


def is_library_only(kernels: Iterable[Kernel], source: str) -> bool:
    """Whether libraries did the work. Where every kernel is as short as a launch, whether none is the candidate's."""
    kernels, words = list(kernels), words_of(source)
    share = own_share(kernels, source)
    if share is None:
        return not any(is_own(kernel, words) for kernel in kernels)
    return share < LEAST_SHARE
