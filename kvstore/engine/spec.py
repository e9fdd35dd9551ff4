"""The spec for the vLLM that is installed; vLLM finds it here by name."""
from __future__ import annotations

import vllm.v1.kv_offload.base as _base

if hasattr(_base, "LookupResult"):
    from kvstore.engine.recent import PROGRESS, TELLS_END, PoolSpec, group_of, has_window
else:
    from kvstore.engine.older import (  # type: ignore[assignment]
        PROGRESS,
        TELLS_END,
        PoolSpec,
        group_of,
        has_window,
    )

__all__ = ["PROGRESS", "TELLS_END", "PoolSpec", "group_of", "has_window"]
