"""vLLM's OffloadingConnector over the KV tier: asks for a request's blocks in one batch, and survives a failed load."""
from __future__ import annotations

from typing import Any

from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorMetadata
from vllm.distributed.kv_transfer.kv_connector.v1.offloading_connector import OffloadingConnector
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.kv_offload.base import make_offload_key
from vllm.v1.outputs import KVConnectorOutput
from vllm.v1.request import Request

from kvstore.engine.holding import held_back
from kvstore.engine.spec import PROGRESS, TELLS_END, group_of, has_window
from kvstore.engine.tier import Tier


class PoolConnector(OffloadingConnector):
    """`{"kv_connector": "PoolConnector", "kv_connector_module_path": "kvstore.engine.connector", …}`"""

    # In the scheduler

    def get_num_new_matched_tokens(self, request: Request, num_computed_tokens: int) -> tuple[int | None, bool]:
        scheduler, tier = self._scheduler_side()
        keys = [bytes(make_offload_key(name, group_of(scheduler))) for name in request.block_hashes]
        tier.find(request.request_id, keys, num_computed_tokens // tier.tokens)
        return super().get_num_new_matched_tokens(request, num_computed_tokens)

    def build_connector_meta(self, scheduler_output: SchedulerOutput) -> KVConnectorMetadata:
        """Before stores are planned: what the tier may have lost is offered from the first block on, and what a running
        request has filled waits until it is enough. Not where blocks leave a window: they might be gone by then."""
        scheduler, tier = self._scheduler_side()
        for request in tier.take_rewinds():
            if (status := scheduler._req_status.get(request)) is not None:
                for group in status.group_states:
                    setattr(group, PROGRESS, 0)
        if has_window(scheduler):
            return super().build_connector_meta(scheduler_output)
        with held_back(
            scheduler._req_status, scheduler_output.num_scheduled_tokens, PROGRESS, tier.tokens, tier.together
        ):
            return super().build_connector_meta(scheduler_output)

    def update_connector_output(self, connector_output: KVConnectorOutput) -> None:
        """Requests whose load failed are scheduled again; they are not to find the same blocks once more."""
        if connector_output.invalid_block_ids:
            for request in connector_output.finished_recving or ():
                self._scheduler_side()[1].give_up(request)
        super().update_connector_output(connector_output)

    def request_finished(self, request: Request, block_ids: list[int]) -> tuple[bool, dict[str, Any] | None]:
        self._forget(request)
        return super().request_finished(request, block_ids)

    def request_finished_all_groups(
        self, request: Request, block_ids: tuple[list[int], ...]
    ) -> tuple[bool, dict[str, Any] | None]:
        self._forget(request)
        return super().request_finished_all_groups(request, block_ids)

    def _forget(self, request: Request) -> None:
        if not TELLS_END:
            self._scheduler_side()[1].forget(request.request_id)

    # In a worker

    def get_block_ids_with_load_errors(self) -> set[int]:
        """Blocks that vLLM computes instead (`kv_load_failure_policy: recompute`)."""
        assert self.connector_worker is not None
        transfers = self.connector_worker.spec.transfers  # type: ignore[attr-defined]
        return transfers.take_failed() if transfers is not None else set()

    def _scheduler_side(self) -> tuple[Any, Tier]:
        assert self.connector_scheduler is not None
        return self.connector_scheduler, self.connector_scheduler.manager.tier  # type: ignore[attr-defined]
