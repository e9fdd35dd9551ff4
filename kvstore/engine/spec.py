"""The spec for the vLLM that is installed; vLLM finds it here by name."""
from __future__ import annotations

import vllm.v1.kv_offload.base as _base

if hasattr(_base, "LookupResult"):
    from kvstore.engine.recent import PROGRESS, PoolSpec, group_of
else:
    from kvstore.engine.older import PROGRESS, PoolSpec, group_of  # type: ignore[assignment]

__all__ = ["PROGRESS", "PoolSpec", "group_of"]
