"""The kept kernels as data: tasks, honest, wrong and cheating candidates with what the judge must say of each.

A candidate is a source file whose leading comment block is TOML (`# key = value`), see `Kernel`. One file may be a
family: `variants` maps names to tasks (or to tables of fields), and the line `VARIANT = ""` names the one meant, so that
many candidates share one compiled module. `devices` lists where it runs: ["cpu"] where nothing is said.
"""
from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

ROOT = Path(__file__).parent
DeviceKind = Literal["cpu", "cuda"]
Group = Literal["honest", "wrong", "cheats"]
_VARIANT = 'VARIANT = ""'


class Kernel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One candidate and what must be said of it."""

    name: str
    group: Group
    task: str
    source: str
    device: DeviceKind = "cpu"
    outcomes: tuple[str, ...] = ("passed",)
    """Any of these is right."""
    labels: tuple[str, ...] = ()
    """Labels it must carry."""
    says: str = ""
    """Words that the feedback must hold."""
    mechanism: int | None = None
    """Number in the list of known ways to cheat."""
    reason: str = ""
    """What it does, and what stands against it."""
    stage: Literal["validate", "profile"] = "validate"
    """How far it must be taken for the outcome to show."""
    max_speedup: float | None = None
    """Where a right result with a false time is tried: the most the judge may measure."""
    precision: str = "fp32"


def task_source(name: str) -> str:
    return (ROOT / "tasks" / f"{name}.py").read_text()


def unfit_tasks() -> dict[str, tuple[str, str]]:
    """Tasks to be rejected: name to source and words of the reason."""
    sources = {path.stem: path.read_text() for path in sorted((ROOT / "unfit").glob("*.py"))}
    return {name: (source, header(source)["reason"]) for name, source in sources.items()}


@cache
def kernels(group: Group, device: str | None = None) -> tuple[Kernel, ...]:
    """The candidates of a group, for one device or all."""
    found = [kernel for path in sorted((ROOT / group).glob("*.py")) for kernel in _family(group, path)]
    return tuple(kernel for kernel in found if device in (None, kernel.device))


def header(source: str) -> dict[str, Any]:
    """The TOML in the leading comment block."""
    lines = []
    for line in source.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return tomllib.loads("\n".join(lines))


def _family(group: Group, path: Path) -> list[Kernel]:
    source = path.read_text()
    fields = header(source)
    variants = fields.pop("variants", None)
    if variants is None:
        return _on_devices(group, path.stem, source, fields)
    if _VARIANT not in source:
        raise ValueError(f"{path} has variants but no line {_VARIANT}")
    return [
        kernel
        for name, value in variants.items()
        for kernel in _on_devices(
            group, f"{path.stem}-{name}", source.replace(_VARIANT, f'VARIANT = "{name}"'), fields | _fields(value)
        )
    ]


def _fields(value: Any) -> dict[str, Any]:
    """A variant is a task's name, or a table of fields."""
    return {"task": value} if isinstance(value, str) else value


def _on_devices(group: Group, name: str, source: str, fields: dict[str, Any]) -> list[Kernel]:
    """One for each of its `devices`, the CPU where none is named."""
    devices = fields.pop("devices", ["cpu"])
    return [
        msgspec.convert({"name": name, "group": group, "source": source, "device": device, **fields}, Kernel)
        for device in devices
    ]
