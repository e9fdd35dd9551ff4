"""What an operator writes into vLLM's `kv_connector_extra_config`."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

CONNECTOR = {
    "kv_connector": "PoolConnector",
    "kv_connector_module_path": "kvstore.engine.connector",
    "kv_role": "kv_both",
    "kv_load_failure_policy": "recompute",
}


class TierConfig(msgspec.Struct, frozen=True, kw_only=True):
    sockets: str
    """Folder with the pools' sockets."""
    model: str = ""
    """What the weights are, where the engine's name for them is not enough to tell."""
    tenant: str = ""
    """Salt: engines share blocks only with those that have the same."""
    min_load_tokens: int = 128
    """Shorter prefixes are computed: a load takes at least two steps of the engine."""
    store_tokens: int = 128
    """A running request's blocks are stored when so many of its tokens fill them: less is sooner computed than loaded,
    and each store costs its engine the same. 0 stores every block as it fills."""
    timeout_seconds: float = 0.1
    """A pool that does not answer the scheduler in this time counts as gone."""
    retry_seconds: float = 1.0
    """Between tries to reach a pool that is gone, and looks for new ones."""

    def folder(self) -> Path:
        return Path(self.sockets)


def read(extra: Mapping[str, Any]) -> TierConfig:
    """ValueError where the JSON line lacks something or has it wrong."""
    own = {name: extra[name] for name in TierConfig.__struct_fields__ if name in extra}
    try:
        return msgspec.convert(own, TierConfig)
    except msgspec.ValidationError as error:
        raise ValueError(f"kv_connector_extra_config: {error}; see kvstore/engine/config.py") from None


def transfer_config(sockets: str, **extra: Any) -> str:
    """The JSON line for `vllm serve --kv-transfer-config`."""
    more = {"spec_name": "PoolSpec", "spec_module_path": "kvstore.engine.spec", "offload_prompt_only": False}
    return msgspec.json.encode({
        **CONNECTOR, "kv_connector_extra_config": {**more, "sockets": sockets, **extra},
    }).decode()
