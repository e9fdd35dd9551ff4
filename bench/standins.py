"""What a fork would have answered: no recording says, so fixed rules stand in. Written before any policy was tuned.

Every figure computed with these is a figure about a rule, not about a model. Four rules, so that a policy that fits one
of them by accident shows:

`draft`    The last kernel body completed before the fork, if nine tenths of its lines stand in the final answer's
           kernel, makes the fork's answer the final one. A body that was given up later makes a failing answer. Before
           the first body the fork answers like a generation without reasoning.
`mixture`  The share of the last body's lines that stand in the final kernel is the chance that the fork gives the final
           answer; else it answers like a generation without reasoning. One draw a trace decides for all depths.
`sibling`  A fork at depth d answers like another sample of the same task, drawn from those that had finished thinking
           within d tokens, generations without reasoning included; with none it fails.
`null`     Depth means nothing: each fork of an iteration answers like some other sample of the task, drawn anew.

A sample whose recorded outcome is no label is never used. Of what passes, the speed is a recorded one too: a speedup
that a correct candidate of the same task reached (of any task where there is none), one for each sample and seed.
"""
from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

import msgspec

from bench.traces import DIRECT, TIMED, Timed, Trace, default_files, load, load_timed

Rule = Literal["draft", "mixture", "sibling", "null"]
RULES: tuple[Rule, ...] = ("draft", "mixture", "sibling")
"""The rules that results are reported on; `null` is reported beside them."""
KEPT = 0.9
"""Share of a body's lines in the final kernel from which on it counts as kept."""
FAILED_TOKENS = 600
"""Answer length where nothing stands in (a median of recorded answers without reasoning)."""
_COMMENT = re.compile(r"//.*|/\*.*?\*/|#(?!include|define|pragma).*")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate. `key` is equal where the sources would be: such candidates are judged once."""

    key: str
    passed: bool
    speedup: float
    tokens: int
    kernel: str = ""
    """The recorded source; "" where nothing stands in."""


class Pool:
    """Everything that can stand in, by task."""

    def __init__(self, reasoning: Iterable[Trace], direct: Iterable[Trace], timed: Iterable[Timed]) -> None:
        self._reasoning = _by_task(t for t in reasoning if t.complete)
        self._direct = _by_task(direct)
        self._speeds: dict[str, list[float]] = defaultdict(list)
        self.judge_seconds: list[float] = []
        """How long judging a candidate took, recorded."""
        for candidate in timed:
            self.judge_seconds.append(candidate.judge_seconds)
            self._speeds[candidate.task].append(candidate.speedup)
        self._all_speeds = [s for speeds in self._speeds.values() for s in speeds] or [1.0]
        self._kept: dict[str, list[tuple[int, float]]] = {}

    def main(self, trace: Trace, seed: int) -> Answer:
        """The recorded answer of a trace."""
        return self._answer(trace, seed, trace.id)

    def fork(self, rule: Rule, trace: Trace, char: int, ordinal: int, seed: int) -> Answer:
        """The answer of a fork of `trace` at a character; `ordinal` numbers the iteration's forks."""
        match rule:
            case "draft":
                return self._by_draft(trace, char, seed)
            case "mixture":
                return self._by_mixture(trace, char, seed)
            case "sibling":
                return self._by_sibling(trace, char, seed)
            case "null":
                return self._by_null(trace, ordinal, seed)

    def steps(self, rule: Rule, trace: Trace) -> list[int]:
        """Characters from which on a fork may answer otherwise than just before (0 included)."""
        if rule in ("draft", "mixture"):
            return [0, *(end for end, _ in self._bodies(trace))]
        if rule == "sibling":
            depths = {round(t.tokens * trace.chars_per_token) for t in self._others(trace)}
            return [0, *sorted(d for d in depths if 0 < d < len(trace.thinking))]
        return [0]

    def _by_draft(self, trace: Trace, char: int, seed: int) -> Answer:
        body = self._last_body(trace, char)
        if body is None:
            return self._without_reasoning(trace, seed)
        end, kept = body
        return self._copied(trace, seed) if kept >= KEPT else _failed(trace, f"body{end}")

    def _by_mixture(self, trace: Trace, char: int, seed: int) -> Answer:
        body = self._last_body(trace, char)
        luck = _random(seed, trace.id, "luck").random()
        if body is not None and luck < body[1]:
            return self._copied(trace, seed)
        return self._without_reasoning(trace, seed)

    def _copied(self, trace: Trace, seed: int) -> Answer:
        """The final answer, early: as good, but another text, so that the final one is judged for itself."""
        return self._answer(trace, seed, f"{trace.id}:copied")

    def _by_sibling(self, trace: Trace, char: int, seed: int) -> Answer:
        depth = trace.token_at(char)
        ready = [t for t in self._others(trace) if t.tokens <= depth] + self._labelled_direct(trace)
        return self._one_of(ready, trace, seed, f"ready{len(ready)}")

    def _by_null(self, trace: Trace, ordinal: int, seed: int) -> Answer:
        return self._one_of(self._others(trace) + self._labelled_direct(trace), trace, seed, f"fork{ordinal}")

    def _without_reasoning(self, trace: Trace, seed: int) -> Answer:
        return self._one_of(self._labelled_direct(trace), trace, seed, "direct")

    def _one_of(self, samples: list[Trace], trace: Trace, seed: int, which: str) -> Answer:
        if not samples:
            return _failed(trace, which)
        chosen = _random(seed, trace.id, which).choice(samples)
        return self._answer(chosen, seed, f"{trace.id}<-{chosen.id}")

    def _answer(self, trace: Trace, seed: int, key: str) -> Answer:
        speeds = self._speeds.get(trace.task) or self._all_speeds
        speedup = trace.speedup or _random(seed, trace.id, "speed").choice(speeds)
        return Answer(
            key=key, passed=bool(trace.passed), speedup=speedup, tokens=max(1, trace.answer_tokens),
            kernel=trace.kernel,
        )

    def _others(self, trace: Trace) -> list[Trace]:
        return [t for t in self._reasoning[trace.task] if t.id != trace.id]

    def _labelled_direct(self, trace: Trace) -> list[Trace]:
        return self._direct[trace.task]

    def _last_body(self, trace: Trace, char: int) -> tuple[int, float] | None:
        return next((body for body in reversed(self._bodies(trace)) if body[0] <= char), None)

    def _bodies(self, trace: Trace) -> list[tuple[int, float]]:
        """Where each marked kernel body ends and which share of its lines the final kernel keeps."""
        if trace.id not in self._kept:
            final = set(_lines(trace.kernel))
            bodies = sorted((m.end, m.start) for m in trace.marks if m.kind != "full_candidate_fence")
            self._kept[trace.id] = [(end, _share(trace.thinking[start:end], final)) for end, start in bodies]
        return self._kept[trace.id]


def _by_task(traces: Iterable[Trace]) -> dict[str, list[Trace]]:
    found: dict[str, list[Trace]] = defaultdict(list)
    for trace in traces:
        if trace.passed is not None:
            found[trace.task].append(trace)
    return found


def _failed(trace: Trace, which: str) -> Answer:
    return Answer(key=f"failed:{trace.id}:{which}", passed=False, speedup=0.0, tokens=FAILED_TOKENS)


def _lines(source: str) -> list[str]:
    """A source's lines without comments and layout; lines of one or two characters say nothing."""
    bare = (re.sub(r"\s+", "", _COMMENT.sub("", line)) for line in source.splitlines())
    return [line for line in bare if len(line) > 2]


def _share(body: str, final: set[str]) -> float:
    lines = _lines(body)
    return sum(line in final for line in lines) / len(lines) if lines else 0.0


def _random(seed: int, *parts: str) -> random.Random:
    return random.Random(":".join((str(seed), *parts)))


def default_pool(recorded: Iterable[Trace]) -> Pool:
    """The pool of the recordings that are there, besides the reasoning traces at hand."""
    return Pool(recorded, load(default_files(DIRECT)), load_timed(default_files(TIMED)))
