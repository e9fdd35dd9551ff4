"""Hardware counters of a candidate's launches as Nsight Compute (`ncu`) gives them: its command line, what it prints,
a sentence for the LLM. Pure.

The candidate's own namespace prints this text, so it may be forged: it is advice, and no verdict or figure rests on it.
"""
from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

SECTIONS = ("SpeedOfLight", "Occupancy", "MemoryWorkloadAnalysis")
_LAUNCHES = 64
"""Launches that are counted: each is played back several times."""
_COLUMNS: dict[str, tuple[str, ...]] = {
    "sm": ("sm__throughput.avg.pct_of_peak_sustained_elapsed",),
    "dram": (
        "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed", "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    ),
    "occupancy": ("sm__warps_active.avg.pct_of_peak_sustained_active",),
    "l1_hits": ("l1tex__t_sector_hit_rate.pct",),
    "l2_hits": ("lts__t_sector_hit_rate.pct",),
}
"""Percent. Names in the raw page of these sections; the first that is there counts."""
_WORDS = {"sm": "SM", "dram": "DRAM", "occupancy": "occupancy", "l1_hits": "L1 hits", "l2_hits": "L2 hits"}
_TIME = "gpu__time_duration.sum"
_SECONDS = {
    "ns": 1e-9, "nsecond": 1e-9, "us": 1e-6, "usecond": 1e-6, "ms": 1e-3, "msecond": 1e-3, "s": 1.0, "second": 1.0,
}
_MARKS = "==ERROR==", "==WARNING=="
_LAST, _LINE = 6, 200
"""Lines that are told, and characters of each."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel. Shares are percent of the device's peak, occupancy of its warps, hits of the sectors asked for."""

    name: str
    seconds: float
    """At the counters' pace: caches are emptied before each playback."""
    sm: float | None = None
    dram: float | None = None
    occupancy: float | None = None
    l1_hits: float | None = None
    l2_hits: float | None = None


def command(program: str, log: str, target: Sequence[str]) -> list[str]:
    """`target` switches counting on and off itself (cudaProfilerStart and Stop). Clocks are left alone."""
    sections = [word for section in SECTIONS for word in ("--section", section)]
    return [program, "--config-file", "off", "--csv", "--page", "raw", "--print-units", "base", *sections,
            "--clock-control", "none", "--profile-from-start", "off", "--launch-count", str(_LAUNCHES),
            "--log-file", log, *target]


def parse(text: str) -> list[Launch]:
    """The launches in ncu's text: its own lines, a header, a row of units, a row a launch. Empty where it has none, or
    ends with the header, or is no table."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("==")]
    start = next((number for number, line in enumerate(lines) if line.startswith('"ID"')), None)
    if start is None:
        return []
    try:
        units, *rows = csv.DictReader(lines[start:])
    except (ValueError, csv.Error):
        return []
    scale = _SECONDS.get((units.get(_TIME) or "").strip(), 1e-9)
    return [_launch(row, scale) for row in rows if row.get("Kernel Name")]


def _launch(row: Mapping[str, str | None], scale: float) -> Launch:
    shares = {name: _first(row, columns) for name, columns in _COLUMNS.items()}
    return Launch(name=row["Kernel Name"] or "", seconds=scale * (_number(row.get(_TIME)) or 0.0), **shares)


def _first(row: Mapping[str, str | None], columns: Iterable[str]) -> float | None:
    return next((value for column in columns if (value := _number(row.get(column))) is not None), None)


def _number(text: str | None) -> float | None:
    """`1,234.5` is a number, `n/a` and what is missing are none."""
    try:
        return float((text or "").replace(",", ""))
    except ValueError:
        return None


def problem(text: str, said: str, code: int) -> str:
    """Why there are no launches in ncu's text, in its own words; `said`: what it and the program printed beside."""
    if "ERR_NVGPUCTRPERM" in text + said:
        return "the driver lets only administrators read counters (ERR_NVGPUCTRPERM)"
    return f"ncu counted no launch (exit code {code}): {words(text, said)}"


def words(text: str, said: str) -> str:
    """ncu's errors and warnings, then the last lines of the rest: it may complain before it has a log, and in other
    words than its own marks, as a script that looks for the real program does."""
    lines = [line.strip() for line in f"{text}\n{said}".splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(_MARKS)]
    rest = [line for line in lines if not line.startswith(_MARKS)][-_LAST:]
    return "; ".join(line[:_LINE] for line in marked[:_LAST] + rest) or "it said nothing"


def record(launches: Sequence[Launch]) -> dict[str, Any]:
    return {"launches": [msgspec.structs.asdict(launch) for launch in launches]}


def sentence(found: Mapping[str, Any]) -> str:
    """Of the launch that takes longest, from a record; empty where there is none."""
    launches = found.get("launches")
    if not launches:
        return ""
    longest = max(launches, key=lambda launch: launch["seconds"])
    share = longest["seconds"] / (sum(launch["seconds"] for launch in launches) or 1.0)
    return f"counters of {longest['name'][:60]}, {share:.0%} of the device's time: {figures(longest)}"


def figures(launch: Mapping[str, Any]) -> str:
    """What is known of a launch in a record."""
    return ", ".join(f"{word} {launch[name]:.0f} %" for name, word in _WORDS.items() if launch[name] is not None)
