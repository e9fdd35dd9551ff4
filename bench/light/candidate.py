"""Sources that say what happens to them, and the reading of them."""
from __future__ import annotations

import re

import msgspec

_PLAN = re.compile(r"^    plan = '(\{.*\})'$", re.MULTILINE)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a light judge does with a candidate."""

    compile: float = 0.0
    """Seconds before a device is needed."""
    validate: float = 0.0
    """Seconds on the device."""
    profile: float = 0.0
    outcome: str = "passed"
    """Of the validation."""
    speedup: float = 1.0


def source(name: str, plan: Plan) -> str:
    """A source unlike any of another name."""
    return f"class ModelNew:\n    name = '{name}'\n    plan = '{msgspec.json.encode(plan).decode()}'\n"


def plan_of(source: str) -> Plan:
    """Its plan; one that costs nothing where it has none."""
    found = _PLAN.search(source)
    return msgspec.json.decode(found[1], type=Plan) if found else Plan()
