"""vLLM 0.22: an OffloadingSpec with a manager for the scheduler and a handler for both directions."""
from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Any

import vllm
from vllm.config import VllmConfig
from vllm.v1.attention.backends.utils import get_kv_cache_layout
from vllm.v1.kv_cache_interface import KVCacheConfig
from vllm.v1.kv_offload.base import (
    CanonicalKVCaches,
    GPULoadStoreSpec,
    LoadStoreSpec,
    OffloadingManager,
    OffloadingSpec,
    OffloadKey,
    PrepareStoreOutput,
    ReqContext,
)
from vllm.v1.kv_offload.worker.worker import OffloadingHandler, TransferResult, TransferSpec, TransferType

from kvstore.engine.binding import Facts, make_tier, make_transfers
from kvstore.engine.slots import Slots
from kvstore.engine.tier import NOTHING, Tier
from kvstore.engine.transfers import Transfers

PROGRESS = "next_stored_block_idx"
"""The field of a request's state that says up to where it was offered."""
TELLS_END = False
"""Whether the manager is told of a request's end, after its last blocks were offered; this vLLM offers none then."""
STORE, LOAD = ("GPU", "POOL"), ("POOL", "GPU")


class PoolSlots(LoadStoreSpec):
    """Where blocks are in the tier, in the order of the engine's blocks."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots

    @staticmethod
    def medium() -> str:
        return "POOL"


class PoolManager(OffloadingManager):
    def __init__(self, tier: Tier, stores: bool, tokens: int) -> None:
        self.tier = tier
        self._stores = stores
        self._tokens = tokens

    def lookup(self, key: OffloadKey, req_context: ReqContext) -> bool | None:
        return self.tier.has(key)

    def prepare_load(self, keys: Collection[OffloadKey], req_context: ReqContext) -> LoadStoreSpec:
        return PoolSlots(self.tier.pin(list(keys)))

    def prepare_store(self, keys: Collection[OffloadKey], req_context: ReqContext) -> PrepareStoreOutput:
        granted = NOTHING
        if self._stores:
            granted = self.tier.reserve(req_context.req_id, list(keys), self._limit(req_context))
        return PrepareStoreOutput([OffloadKey(key) for key in granted.keys], PoolSlots(granted.slots), [])

    def shutdown(self) -> None:
        self.tier.close()

    def _limit(self, context: ReqContext) -> int | None:
        """`max_offload_tokens`, which this vLLM does not know, in blocks."""
        asked = (context.kv_transfer_params or {}).get("max_offload_tokens")
        return asked // self._tokens if isinstance(asked, int) and asked >= 0 else None


class PoolHandler(OffloadingHandler):
    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers
        self._types: dict[int, TransferType] = {}

    def transfer_async(self, job_id: int, spec: TransferSpec) -> bool:
        source, target = spec
        self._types[job_id] = (source.medium(), target.medium())
        if isinstance(source, PoolSlots) and isinstance(target, GPULoadStoreSpec):
            self._transfers.submit(job_id, "load", target.block_ids, source.slots)
        else:
            assert isinstance(source, GPULoadStoreSpec) and isinstance(target, PoolSlots)
            self._transfers.submit(job_id, "store", source.block_ids, target.slots)
        return True

    def get_finished(self) -> list[TransferResult]:
        """All are successes to vLLM: what could not be loaded is reported as blocks to compute."""
        return [
            TransferResult(d.id, True, d.bytes, d.seconds, self._types.pop(d.id)) for d in self._transfers.finished()
        ]

    def wait(self, job_ids: set[int]) -> None:
        self._transfers.wait(job_ids)

    def shutdown(self) -> None:
        self._transfers.close()


class PoolSpec(OffloadingSpec):
    def __init__(self, vllm_config: VllmConfig, kv_cache_config: KVCacheConfig) -> None:
        # Engines must name equal blocks alike: this vLLM seeds its hashes at random unless the variable is set, and
        # reads it after the connectors are made. Python's own hashing was fixed at its start.
        os.environ.setdefault("PYTHONHASHSEED", "0")
        super().__init__(vllm_config, kv_cache_config)
        self.transfers: Transfers | None = None

    def get_manager(self) -> OffloadingManager:
        facts = self._facts()
        return PoolManager(make_tier(facts), facts.stores, facts.tokens)

    def get_handlers(
        self, kv_caches: CanonicalKVCaches
    ) -> Iterator[tuple[type[LoadStoreSpec], type[LoadStoreSpec], OffloadingHandler]]:
        tensors = [(held.tensor, held.page_size_bytes) for held in kv_caches.tensors]
        self.transfers = make_transfers(self._facts(), tensors)
        handler = PoolHandler(self.transfers)
        yield GPULoadStoreSpec, PoolSlots, handler
        yield PoolSlots, GPULoadStoreSpec, handler

    def _facts(self) -> Facts:
        config, cache = self.vllm_config, self.kv_cache_config
        transfer = config.kv_transfer_config
        assert transfer is not None
        own = config.cache_config.cache_dtype
        return Facts(
            engine=str(transfer.engine_id), model=config.model_config.model,
            dtype=str(config.model_config.dtype if own == "auto" else own),
            layout=f"vllm {vllm.__version__} {get_kv_cache_layout()}",
            tokens=self.gpu_block_size[0] * self.block_size_factor,
            payload=sum(tensor.size for tensor in cache.kv_cache_tensors) // cache.num_blocks * self.block_size_factor,
            parts=config.parallel_config.world_size, part=config.parallel_config.rank,
            groups=len(cache.kv_cache_groups),
            hashes=f"{config.cache_config.prefix_caching_hash_algo} {os.environ['PYTHONHASHSEED']}",
            role=str(transfer.kv_role), extra=transfer.kv_connector_extra_config,
        )


def group_of(scheduler: Any) -> int:
    """The number that stands in the names of the one group's blocks."""
    return int(scheduler.config.kv_group_configs[0].group_idx)


def has_window(scheduler: Any) -> bool:
    """Whether the group's attention looks back a part of the request only, so that blocks are freed before its end."""
    return scheduler.config.kv_group_configs[0].sliding_window_size_in_blocks is not None
