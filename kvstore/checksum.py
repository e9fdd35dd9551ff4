"""A block's checksum, the same on CPU and GPU: sum over its 8-byte words of word * (2 * position + 1), modulo 2^64.

The weights are odd, hence invertible: a single wrong word always changes the sum. An all-zero block sums to 0; what
tells a zeroed page from a block of zeros is the tag beside the sum, which is never 0.
"""
from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt


def checksums(blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """One sum a row. `blocks`: (rows, bytes), C-contiguous, bytes a multiple of 8."""
    words = blocks.view(np.uint64)
    result: npt.NDArray[np.uint64] = words @ _weights(words.shape[1])
    return result


@lru_cache(maxsize=8)
def _weights(words: int) -> npt.NDArray[np.uint64]:
    return np.arange(words, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
