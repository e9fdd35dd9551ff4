"""From what a vLLM of any version says of itself to a tier and its transfers."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from kvstore.engine.config import TierConfig, read
from kvstore.engine.copier import Copier
from kvstore.engine.host import HostCopier
from kvstore.engine.remote import RemoteCopier, host_buffer
from kvstore.engine.tier import Tier
from kvstore.engine.transfers import Transfers
from kvstore.geometry import Geometry, Space
from kvstore.memory import context_here
from kvstore.wire import Hello, Role


@dataclass(frozen=True)
class Facts:
    """An engine, as its configuration describes it."""

    engine: str
    model: str
    dtype: str
    layout: str
    tokens: int
    """Tokens a block."""
    payload: int
    """KV bytes a block and worker."""
    parts: int
    """Workers."""
    part: int
    """This worker's number; 0 in the scheduler."""
    groups: int
    """KV cache groups: a model with several kinds of attention has more than one."""
    hashes: str
    """How blocks are named."""
    role: str
    """vLLM's kv_role."""
    extra: Mapping[str, Any]

    @property
    def config(self) -> TierConfig:
        return read(self.extra)

    @property
    def stores(self) -> bool:
        return self.role != "kv_consumer"

    def require_one_group(self) -> None:
        """ValueError for a model the tier cannot serve: vLLM reports lost blocks by number, within one group."""
        if self.groups != 1:
            raise ValueError(
                f"the KV tier needs a model with one KV cache group, {self.model} has {self.groups}: serve it without "
                "--kv-transfer-config, or with --disable-hybrid-kv-cache-manager where the engine offers that"
            )

    def hello(self, role: Role, shape: str = "") -> Hello:
        config = self.config
        return Hello(
            role=role, engine=self.engine, part=self.part, writes=self.stores, shape=shape,
            space=Space(model=config.model or self.model, tenant=config.tenant),
            geometry=Geometry(
                layout=self.layout, dtype=self.dtype, tokens=self.tokens, payload=self.payload, parts=self.parts,
                seed=self.hashes,
            ),
        )


def make_tier(facts: Facts) -> Tier:
    """For the scheduler's process."""
    facts.require_one_group()
    return Tier(facts.config, facts.hello("manager"))


def make_transfers(facts: Facts, tensors: Sequence[tuple[torch.Tensor, int]]) -> Transfers:
    """For a worker's process. `tensors`: the KV, each with its bytes a block; the first dimension counts blocks."""
    regions = [tensor.view(torch.int8).view(-1, size) for tensor, size in tensors]
    hello = facts.hello("worker", f"{regions[0].device.type} {[size for _, size in tensors]}")
    store, load = _copiers(regions, hello)
    context = None if regions[0].device.type == "cpu" else context_here()
    return Transfers(facts.config.folder(), hello, store, load, context)


def _copiers(regions: Sequence[torch.Tensor], hello: Hello) -> tuple[Copier, Copier]:
    geometry, part = hello.geometry, hello.part
    if regions[0].device.type == "cpu":
        arrays = [region.numpy().view("uint8") for region in regions]
        one, other = (HostCopier(arrays, geometry, part) for _ in range(2))
        return (
            RemoteCopier(one, geometry, part, host_buffer, None), RemoteCopier(other, geometry, part, host_buffer, None)
        )
    from kvstore.engine import device  # noqa: PLC0415 - needs Triton

    gpu, number = regions[0].device, regions[0].device.index or 0
    store, load = (
        device.DeviceCopier(regions, geometry, part, programs)
        for programs in (device.STORE_PROGRAMS, device.LOAD_PROGRAMS)
    )
    load.warm()
    buffer = partial(device.Buffer, gpu)
    return (
        RemoteCopier(store, geometry, part, buffer, number), RemoteCopier(load, geometry, part, buffer, number)
    )
