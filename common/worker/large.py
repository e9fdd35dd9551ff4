"""Tasks that need more memory than a KV pool leaves: their jobs take all of the device from the start."""
from __future__ import annotations

from collections import OrderedDict

from common.messages import TaskSource

_MOST = 64
"""A worker lives for long; a task that is forgotten is found out again by its next job."""


class LargeTasks:
    """The last few, by their source."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._sources: OrderedDict[str, None] = OrderedDict()

    def add(self, task: TaskSource) -> None:
        self._sources[task.source] = None
        self._sources.move_to_end(task.source)
        while len(self._sources) > self._most:
            self._sources.popitem(last=False)

    def __contains__(self, task: TaskSource) -> bool:
        return task.source in self._sources
