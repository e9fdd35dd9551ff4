"""Which exceptions say that memory was short: Python's, torch's, and others by their words."""
from __future__ import annotations

import torch

from common.judge.shortage import shortage

_WORDS = (
    "can't allocate memory", "CUDA error: out of memory", "Triton Error [CUDA]: out of memory",
    "NVML_SUCCESS == r",  # torch's allocator, which asks for more words about it than the sandbox lets it have
)


def out_of_memory(error: BaseException, said: str) -> bool:
    """`said`: the exception's message, which a foreign one may fail to give."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in said for word in _WORDS)


def noted(error: BaseException) -> bool:
    """Whether an exception of this process is for want of memory; the request under way was short of it then."""
    found = out_of_memory(error, str(error))
    if found:
        shortage.of_ours()
    return found
