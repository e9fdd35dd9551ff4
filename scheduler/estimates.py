"""How long things take, learned from the events: exponentially weighted means. Pure."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from common.messages import (
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    Message,
    Outcome,
    Profile,
    RunEnded,
    Stage,
    Verdict,
)

Kind = Literal["main", "fork"]
_OFF_DEVICE = ("compile", "foresee")
"""Steps of a judgement for which no device is held, and which take seconds."""


@dataclass
class Mean:
    """Begins at a guess, which the first values replace quickly."""

    value: float
    weight: float = 0.1
    seen: int = 0

    def add(self, value: float) -> None:
        self.seen += 1
        self.value += max(self.weight, 1.0 / (self.seen + 1)) * (value - self.value)


class Estimates:
    def __init__(self) -> None:
        self.device = {stage: Mean(1.0) for stage in Stage}
        """Seconds a job holds a device."""
        self.compile = {stage: Mean(0.0) for stage in Stage}
        """Seconds a job works before it needs one."""
        self.passed = Mean(0.5)
        """Share of validated candidates that are profiled."""
        self.generation: dict[Kind, Mean] = {"main": Mean(120.0), "fork": Mean(20.0)}
        self.fruitful: dict[Kind, Mean] = {"main": Mean(0.9), "fork": Mean(0.9)}
        """Share of generations that end with a candidate."""
        self._streaming: dict[tuple[str, str], tuple[Kind, float]] = {}

    def seconds(self) -> dict[Stage, float]:
        """Mean device-seconds a job, by stage."""
        return {stage: mean.value for stage, mean in self.device.items()}

    def held(self, stage: Stage, seconds: float) -> None:
        """A device was held to the end of a job."""
        self.device[stage].add(seconds)

    def observe(self, message: Message, now: float) -> None:
        match message:
            case Verdict() | Profile() if message.judgement.outcome is not Outcome.INFRASTRUCTURE_ERROR:
                stage = Stage.VALIDATE if isinstance(message, Verdict) else Stage.PROFILE
                self.compile[stage].add(sum(message.judgement.seconds.get(step, 0.0) for step in _OFF_DEVICE))
                if stage is Stage.VALIDATE:
                    self.passed.add(float(message.judgement.outcome is Outcome.PASSED))
            case GenerationStarted():
                self._streaming[message.run, message.generation] = message.kind, now
            case GenerationEnded():
                self._ended(message)
            case IterationEnded() | RunEnded():
                self._streaming = {key: value for key, value in self._streaming.items() if key[0] != message.run}

    def _ended(self, message: GenerationEnded) -> None:
        started = self._streaming.pop((message.run, message.generation), None)
        if started is None or message.reason == "aborted":
            return
        self.generation[started[0]].add(message.seconds)
        self.fruitful[started[0]].add(float(message.candidate is not None))

    def coming(self, horizon: float, now: float) -> dict[Stage, float]:
        """Requests expected within `horizon` seconds from the generations under way and their typical length.

        A generation that has run for longer than most may go on for a while: at least a quarter of the mean is left.
        """
        candidates = 0.0
        for kind, since in self._streaming.values():
            mean = self.generation[kind].value
            left = max(mean - (now - since), 0.25 * mean, 1e-3)
            candidates += self.fruitful[kind].value * min(1.0, horizon / left)
        return {Stage.VALIDATE: candidates, Stage.PROFILE: candidates * self.passed.value}
