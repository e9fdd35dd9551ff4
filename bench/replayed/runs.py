"""The recordings to play and the runs they become."""
from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from common.commands.arguments import hardware
from common.devices import DeviceSettings
from common.errors import UsageError
from common.messages import Budget, Llm, RunSubmitted, TaskSource
from common.task import task_name, task_problem
from generator.replay.command import read_recording
from generator.replay.recording import Iteration, Recording
from generator.replay.traces import is_trace


class Recorded(msgspec.Struct, frozen=True):
    """A recording with the name that its run gets."""

    name: str
    recording: Recording
    iterations: int
    """How many of it are played."""

    def iteration(self, number: int) -> Iteration:
        """UsageError beyond what was recorded."""
        found = self.recording.iteration(number)
        if found is None:
            raise UsageError(f"{self.name} has {len(self.recording.iterations)} iterations")
        return found


def read(options: argparse.Namespace) -> list[Recorded]:
    """UsageError where one cannot be read, or holds no task."""
    found = []
    for number, name in enumerate(options.recordings, start=1):
        recording = read_recording(name)
        problem = "it holds no task" if recording.task is None else task_problem(recording.task)
        if problem:
            raise UsageError(f"{name}: {problem}")
        own = Path(name.partition("#")[2]) if is_trace(name) else Path(name).resolve().parent
        played = Recorded(f"{task_name(own)}-{number}", recording, options.iterations or len(recording.iterations))
        played.iteration(played.iterations)
        found.append(played)
    return found


def submitted(
    options: argparse.Namespace, recorded: Recorded, part: str, url: str, devices: DeviceSettings
) -> RunSubmitted:
    """The run of one recording in one part; its time and its budget of seconds are filled in when it begins."""
    assert recorded.recording.task is not None
    return RunSubmitted(
        run=f"{recorded.name}-{part}", at=0.0, task=TaskSource(name=recorded.name, source=recorded.recording.task),
        budget=Budget(iterations=recorded.iterations), llm=Llm(url=url, model=""), device=devices.kind,
        hardware=hardware(devices), speculate=part == "on", stop=options.stop, drain_seconds=options.drain_seconds,
    )
