"""Whether the request under way was short of memory: noted where it shows, told with the answer.

A judge's process works on one request at a time, so it has one of these. Most of what fails for want of memory becomes
something else on its way up, a case that is left out or a task that is rejected.
"""
from __future__ import annotations


class Shortage:
    def __init__(self) -> None:
        self.met = False
        """In a process that was called, or in this one."""
        self.own = False
        """In this one: what it computed may lack what there was no memory for."""

    def begin(self) -> None:
        """Another request."""
        self.met = self.own = False

    def of_another(self) -> None:
        """A candidate's process, or a reference's, said so of itself."""
        self.met = True

    def of_ours(self) -> None:
        self.met = self.own = True


shortage = Shortage()
