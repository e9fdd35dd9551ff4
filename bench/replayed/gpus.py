"""How busy the GPUs are while a part runs, as NVML counts it: the share of time in which any kernel ran."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from statistics import fmean
from typing import Any

from common.background import background

EVERY_SECONDS = 0.2


@asynccontextmanager
async def sampled() -> AsyncIterator[dict[int, list[int]]]:
    """By index, as nvidia-smi numbers them, the percentages read during the block. Empty without `nvidia-ml-py`."""
    if find_spec("pynvml") is None:
        yield {}
        return
    import pynvml  # noqa: PLC0415 - it is not everywhere

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield {}
        return
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    found: dict[int, list[int]] = {index: [] for index in range(len(handles))}

    async def read() -> None:
        while True:
            for index, handle in enumerate(handles):
                rates = await asyncio.to_thread(pynvml.nvmlDeviceGetUtilizationRates, handle)
                found[index].append(rates.gpu)
            await asyncio.sleep(EVERY_SECONDS)

    try:
        async with background() as tasks:
            tasks.start(read())
            yield found
    finally:
        pynvml.nvmlShutdown()


def utilisation(found: dict[int, list[int]]) -> dict[str, Any]:
    """`mean` is a share; `busy` the share of samples in which something ran at all."""
    return {
        str(index): {
            "samples": len(read), "mean": round(fmean(read) / 100, 4),
            "busy": round(fmean(percent > 0 for percent in read), 4),
        }
        for index, read in found.items() if read
    }
