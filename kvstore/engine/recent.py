"""vLLM 0.32 and 0.33: an OffloadingSpec with a manager for the scheduler and a worker."""
from __future__ import annotations

from collections.abc import Collection
from typing import Any

import vllm
from vllm.v1.kv_offload.base import (
    CanonicalKVCaches,
    GPULoadStoreSpec,
    LoadStoreSpec,
    LookupResult,
    OffloadingManager,
    OffloadingSpec,
    OffloadingWorker,
    OffloadKey,
    PrepareStoreOutput,
    ReqContext,
    RequestOffloadingContext,
    TransferResult,
)
from vllm.v1.kv_offload.config import OffloadingConfig

from kvstore.engine.binding import Facts, make_tier, make_transfers
from kvstore.engine.slots import Slots
from kvstore.engine.tier import NOTHING, Tier
from kvstore.engine.transfers import Transfers

PROGRESS = "next_stored_chunk_idx"
"""The field of a request's state that says up to where it was offered."""
TELLS_END = True
"""Whether the manager is told of a request's end, after its last blocks were offered; this vLLM does so."""


class PoolSlots(LoadStoreSpec):
    """Where blocks are in the tier, in the order of the engine's blocks."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots


class PoolManager(OffloadingManager):
    def __init__(self, tier: Tier, stores: bool) -> None:
        self.tier = tier
        self._stores = stores

    def lookup(self, key: OffloadKey, req_context: ReqContext) -> LookupResult:
        return LookupResult.HIT if self.tier.has(key) else LookupResult.MISS

    def prepare_load(self, keys: Collection[OffloadKey], req_context: ReqContext) -> LoadStoreSpec:
        return PoolSlots(self.tier.pin(list(keys)))

    def prepare_store(self, keys: Collection[OffloadKey], req_context: ReqContext) -> PrepareStoreOutput:
        granted = self.tier.reserve(req_context.req_id, list(keys)) if self._stores else NOTHING
        return PrepareStoreOutput([OffloadKey(key) for key in granted.keys], PoolSlots(granted.slots), [])

    def on_new_request(self, req_context: ReqContext) -> RequestOffloadingContext:
        return RequestOffloadingContext()

    def on_request_finished(self, req_context: ReqContext) -> None:
        self.tier.forget(req_context.req_id)

    def shutdown(self) -> None:
        self.tier.close()


class PoolWorker(OffloadingWorker):
    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    def submit_store(self, job_id: int, src_spec: GPULoadStoreSpec, dst_spec: LoadStoreSpec) -> bool:
        assert isinstance(dst_spec, PoolSlots)
        self._transfers.submit(job_id, "store", src_spec.block_ids, dst_spec.slots)
        return True

    def submit_load(
        self, job_id: int, src_spec: LoadStoreSpec, dst_spec: GPULoadStoreSpec, expedited: bool = False
    ) -> bool:
        assert isinstance(src_spec, PoolSlots)
        self._transfers.submit(job_id, "load", dst_spec.block_ids, src_spec.slots)
        return True

    def get_finished(self) -> list[TransferResult]:
        """All are successes to vLLM: what could not be loaded is reported as blocks to compute."""
        return [TransferResult(d.id, True, d.bytes, d.seconds) for d in self._transfers.finished()]

    def wait(self, job_ids: set[int]) -> None:
        self._transfers.wait(job_ids)

    def shutdown(self) -> None:
        self._transfers.close()


class PoolSpec(OffloadingSpec):
    def __init__(self, config: OffloadingConfig) -> None:
        super().__init__(config)
        self.transfers: Transfers | None = None

    def get_manager(self) -> OffloadingManager:
        facts = self._facts()
        return PoolManager(make_tier(facts), facts.stores)

    def get_worker(self, kv_caches: CanonicalKVCaches) -> OffloadingWorker:
        tensors = [(held.tensor, held.page_size_bytes) for held in kv_caches.tensors]
        self.transfers = make_transfers(self._facts(), tensors)
        return PoolWorker(self.transfers)

    def _facts(self) -> Facts:
        config = self.config
        return Facts(
            engine=config.engine_id, model=config.model.name, dtype=config.model.dtype,
            layout=f"vllm {vllm.__version__} {config.kv_cache_layout}",
            tokens=config.groups[0].tokens_per_block * config.cache.blocks_per_chunk,
            payload=config.worker_kv_bytes_per_block * config.cache.blocks_per_chunk,
            parts=config.parallel.world_size, part=config.parallel.rank, groups=len(config.groups),
            hashes=hashes(), role=str(self.extra_config.get("role", "kv_both")), extra=self.extra_config,
        )


def hashes() -> str:
    """What block names start from; the same in all engines unless PYTHONHASHSEED or the hash says otherwise."""
    from vllm.v1.core.kv_cache_utils import get_none_hash_seed  # noqa: PLC0415

    return str(get_none_hash_seed())


def group_of(scheduler: Any) -> int:
    """The number that stands in the names of the one group's blocks."""
    return int(scheduler.config.kv_group_configs[0].group_idx)


def has_window(scheduler: Any) -> bool:
    """Whether the group's attention looks back a part of the request only, so that blocks are freed before its end."""
    return scheduler.config.kv_group_configs[0].sliding_window_size_in_chunks is not None
