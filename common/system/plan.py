"""Which processes a host runs, from the resolved settings. Pure but for looking at the host's devices."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from common.bus import BusSettings
from common.devices import Device, DeviceSettings, discover, other_cores, own_cores
from common.messages import Stage
from common.settings import CONFIG_VARIABLE, known_sections, load, to_toml, variable
from common.supervise import Service, python_service
from common.worker.settings import WorkerSettings

_COORDINATORS = ("generator", "trigger", "scheduler")
_ENDING_SECONDS = 5.0
"""For what a service does once its last job is finished or handed back."""
_VALIDATORS_A_GPU = 3
"""One at work on it, the others compiling meanwhile (docs/scheduling.md, "How many validators")."""
_CORES_A_VALIDATOR = 4
"""nvcc, a C++ compiler beside it, the judge, and the process whose kernel it calls."""


@dataclass(frozen=True)
class Plan:
    """Everything a system needs to know before it starts."""

    folder: Path
    sections: Mapping[str, msgspec.Struct]
    devices: tuple[Device, ...]
    validators: int
    profilers: int
    extra: tuple[Service, ...] = field(default=())

    @property
    def bus(self) -> BusSettings:
        settings = self.sections["bus"]
        assert isinstance(settings, BusSettings)
        return settings

    def config_file(self) -> Path:
        return self.folder / "specgen.toml"

    def write_config(self) -> None:
        """The resolved settings, without secrets: what every service of this system reads."""
        public = dict(self.sections) | {"bus": self.bus.without_token()}
        self.config_file().write_text(to_toml(public))

    def shared_cores(self) -> tuple[int, ...]:
        """Cores that time nothing: for services, and whatever else runs beside them."""
        return other_cores(self._device_settings())

    def grace(self) -> float:
        """How long services may take to end: the one with the longest job to finish, and then some."""
        drains = [section.drain_seconds for section in self.sections.values() if isinstance(section, WorkerSettings)]
        return max(drains, default=0.0) + _ENDING_SECONDS

    def services(self) -> list[Service]:
        env, cores = self._environment(), self.shared_cores()
        workers = [("validator", n) for n in range(self.validators)] + [("profiler", n) for n in range(self.profilers)]
        return [
            *self.extra,
            *(python_service(name, env=env, cores=cores) for name in _COORDINATORS),
            *(python_service(name, name=f"{name}-{n + 1}", env=env, cores=cores) for name, n in workers),
        ]

    def _environment(self) -> dict[str, str]:
        """The file, and what flags may have decided against a variable: a service would believe the variable."""
        return {
            CONFIG_VARIABLE: str(self.config_file()),
            variable("bus", "state_dir"): self.bus.state_dir,
            variable("devices", "kind"): self._device_settings().kind,
        }

    def _device_settings(self) -> DeviceSettings:
        settings = self.sections["devices"]
        assert isinstance(settings, DeviceSettings)
        return settings


def make_plan(
    folder: Path, *, state_dir: Path, device: str | None = None, validators: int | None = None,
    profilers: int | None = None, extra: tuple[Service, ...] = (),
) -> Plan:
    """Resolve every section's settings for a system with its state in `state_dir`. UsageError as `load` has it."""
    flags: dict[str, dict[str, Any]] = {"bus": {"state_dir": str(state_dir)}, "devices": {"kind": device}}
    sections = {name: load(name, section, **flags.get(name, {})) for name, section in known_sections().items()}
    kind = sections["devices"]
    assert isinstance(kind, DeviceSettings)
    sections["devices"] = kind = msgspec.structs.replace(kind, cores=own_cores(kind))
    devices = discover(kind)
    timing = sum(Stage.PROFILE in device.stages for device in devices)
    return Plan(
        folder, sections, devices, validators or validators_for(devices), profilers or timing, extra
    )


def validators_for(devices: Sequence[Device]) -> int:
    """How many a host runs where nobody says: on GPUs more than there are, as far as its cores go."""
    gpus = [device for device in devices if device.kind == "cuda"]
    if gpus:
        return max(len(gpus), min(_VALIDATORS_A_GPU * len(gpus), len(gpus[0].cores) // _CORES_A_VALIDATOR))
    return sum(device.stages == (Stage.VALIDATE,) for device in devices) or len(devices)
