"""What must start at once does not import what takes long."""
from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "vllm", "triton")


@pytest.mark.parametrize("module", ["trigger.service", "scheduler.service", "generator.service", "common.cli",
                                    "common.commands.run", "validator.service", "profiler.service"])
def test_services_and_cli_start_without_torch(module: str) -> None:
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
