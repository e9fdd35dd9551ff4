"""Profiling: how much faster a candidate is than eager, what limits it, and whose kernels did the work."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import torch

from common.devices import Device
from common.judge import counters
from common.judge.attribution import is_library_only, own_share
from common.judge.lane.baseline import against_compiled
from common.judge.lane.candidate import Candidate
from common.judge.lane.counting import counters_of
from common.judge.lane.desk import Desk
from common.judge.lane.filler import filler_of
from common.judge.lane.limits import Limits, sentence
from common.judge.lane.lingering import Lingering
from common.judge.lane.nvml import Governor
from common.judge.lane.parcel import input_bytes, output_bytes
from common.judge.lane.roofline import bandwidth, operations
from common.judge.lane.serve import Bench
from common.judge.lane.tasks import KnownTask
from common.judge.lane.timing import Timing, ours
from common.judge.protocol import Kernel
from common.judge.requests import Profile
from common.messages.judgement import Feedback, Judgement, Measurement, Outcome
from common.pinned import pinned

_REFERENCE = "\n\nModelNew = Model\n"


def profile(bench: Bench, desk: Desk, request: Profile) -> Judgement:
    known, artefact, device = desk.task(request.task, request.device), request.artefact, request.device
    with desk.candidate(device) as candidate, desk.candidate(device) as reference, on_cores(device.cores):
        lingering = Lingering(filler_of(known.device))
        desk.load(candidate, artefact, request.task.precision)
        with ours():
            desk.load_own(reference, request.task.source + _REFERENCE, request.task.precision)
        with desk.step("reference"):
            governor = Governor(device)
            timing = Timing(bench, known, candidate, reference, governor, lingering)
        with desk.step("time"):
            measurement = timing.run(request.bar)
        with desk.step("limits"):
            limits = limits_of(known, timing, measurement)
        with desk.step("trace"):
            kernels = timing.trace() if device.kind == "cuda" else None
        beside = second_baseline(bench, desk, known, candidate, request, governor)
        desk.seconds |= {"baseline": beside["compile_baseline"]["seconds"]} if beside else {}
    beside |= hardware(bench, desk, request)
    library_only = _by_libraries(candidate.own_code, kernels, artefact.source)
    labels = set(bench.labels) | timing.blocks.labels() | ({"library_only"} if library_only else set())
    said = (
        f"{_summary(measurement)}{timing.blocks.words()}", sentence(limits),
        counters.sentence(beside.get("counters", {})),
    )
    return Judgement(
        outcome=Outcome.PASSED,
        feedback=Feedback(summary="; ".join(filter(None, said))),
        labels=tuple(sorted(labels)),
        measurement=measurement,
        seconds=desk.seconds,
        record={
            **timing.record(), **unread(device, governor), "roofline": limits.record(),
            **kernels_record(kernels, artefact.source), **beside, **desk.record(artefact),
        },
    )


def _by_libraries(own_code: bool, kernels: tuple[Kernel, ...] | None, source: str) -> bool:
    """Judged by the trace where there is one; else by whether there is code of its own at all."""
    return is_library_only(kernels, source) if kernels else not own_code


def kernels_record(kernels: tuple[Kernel, ...] | None, source: str) -> dict[str, Any]:
    """One call's launches, and the candidate's own share of their time."""
    if not kernels:
        return {}
    return {"kernels": [msgspec.to_builtins(kernel) for kernel in kernels], "own_share": own_share(kernels, source)}


def second_baseline(
    bench: Bench, desk: Desk, known: KnownTask, candidate: Candidate, request: Profile, governor: Governor
) -> dict[str, Any]:
    """Nothing where the settings do not ask for it."""
    if not bench.settings.compile_baseline:
        return {}
    return {"compile_baseline": against_compiled(bench, desk, known, candidate, request, governor)}


def hardware(bench: Bench, desk: Desk, request: Profile) -> dict[str, Any]:
    """Counters, or why there are none; nothing on a CPU, unless they were asked for."""
    if request.device.kind != "cuda" and not bench.settings.counters:
        return {}
    return {"counters": counters_of(bench, desk, request)}


def unread(device: Device, governor: Governor) -> dict[str, Any]:
    """Why a GPU's clocks are not in the record."""
    return {"clocks": {"absent": governor.absent}} if device.kind == "cuda" and governor.absent else {}


def limits_of(known: KnownTask, timing: Timing, measurement: Measurement) -> Limits:
    """Where the candidate is under the device's roofline, which is measured by this process on the cores it has now."""
    inputs = timing.inputs
    dtype = next((x.dtype for x in inputs if isinstance(x, torch.Tensor) and x.is_floating_point()), torch.float32)
    return Limits(
        seconds=1e-3 * measurement.candidate_ms, operations=known.operations, bytes_s=bandwidth(known.device),
        bytes_moved=input_bytes(inputs) + output_bytes(timing.expected.eager),
        operations_s=operations(known.device, dtype, known.policy.precision != "fp32"),
    )


@contextmanager
def on_cores(cores: tuple[int, ...]) -> Iterator[None]:
    """This process on the cores it times on: they are idle but for the side whose turn it is, and the two alternate."""
    threads = torch.get_num_threads()
    with pinned(cores):
        torch.set_num_threads(len(cores))
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _summary(measurement: Measurement) -> str:
    return (
        f"{measurement.speedup:.2f}x eager ({measurement.low:.2f} to {measurement.high:.2f}): "
        f"{measurement.candidate_ms:.3f} ms against {measurement.reference_ms:.3f} ms"
    )
