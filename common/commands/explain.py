"""The evidence behind a verdict and a figure, from their records, for a person. Pure."""
from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from common.judge.counters import figures
from common.messages import Judgement

Record = dict[str, Any]


def explanation(verdict: Judgement, profile: Judgement | None) -> Iterator[str]:
    """Line by line: error ratios, pairs, clocks, roofline, launches; what a record lacks is left out."""
    yield from _ratios(verdict.record.get("error_ratios", {}))
    if profile:
        yield from _pairs(profile.record)
        yield from _clocks(profile.record)
        yield from _roofline(profile.record)
        yield from _counters(profile.record.get("counters", {}))


def _ratios(cases: Record) -> Iterator[str]:
    if cases:
        yield "error against fp64 as a multiple of eager's own, by kind of inputs (limits: docs/error_ratio.md):"
    for case, values in cases.items():
        yield f"  {case:<16} {', '.join(f'{ratio:.2f}' for ratio in values)}"


def _pairs(record: Record) -> Iterator[str]:
    pairs = record.get("pairs_ms")
    if not pairs:
        return
    yield (
        f"{len(pairs)} pairs of {record['calls_a_window']} calls; an empty call takes "
        f"{median(record['path_ms']):.4g} ms, which is taken off (docs/timing.md):"
    )
    for number, ((reference, candidate), (_, span)) in enumerate(zip(pairs, record["spans_ms"], strict=True)):
        yield (
            f"  eager {reference:9.4g} ms   kernel {candidate:9.4g} ms   its own clock {span:9.4g} ms"
            + "   disturbed" * (number in record["disturbed"]) + "   throttled" * (number in record["throttled"])
        )


def _clocks(record: Record) -> Iterator[str]:
    clocks = record.get("clocks")
    if not clocks:
        return
    if absent := clocks.get("absent"):
        yield f"clocks were not read: {absent}"
        return
    sm, memory = clocks["sm_mhz"], clocks["memory_mhz"]
    reasons = ", ".join(f"{name} in {count}" for name, count in clocks["reasons"].items()) or "none"
    yield (
        f"clocks, eager and kernel: SM {sm['reference']:.0f} and {sm['candidate']:.0f} MHz, memory "
        f"{memory['reference']:.0f} and {memory['candidate']:.0f} MHz; at most {clocks['temperature_c']} C; "
        f"held down by, of {clocks['windows']} windows: {reasons}"
    )


def _roofline(record: Record) -> Iterator[str]:
    if limits := record.get("roofline"):
        yield (
            f"under the roofline: {limits['memory_share']:.0%} of a copy's {limits['bytes_s'] / 1e9:.3g} GB/s, "
            f"{limits['arithmetic_share']:.0%} of a product's {limits['operations_s'] / 1e9:.3g} GFLOP/s"
        )
    for kernel in record.get("kernels", ()):
        yield (
            f"  {1e6 * kernel['seconds']:8.1f} us  {kernel['name'][:60]}  grid {kernel['grid']} block "
            f"{kernel['block']} registers {kernel['registers']} shared {kernel['shared']}"
        )


def _counters(found: Record) -> Iterator[str]:
    if absent := found.get("absent"):
        yield f"counters: absent, {absent}"
    for launch in found.get("launches", ()):
        yield f"  {1e6 * launch['seconds']:8.1f} us  {launch['name'][:60]}  {figures(launch)}"
