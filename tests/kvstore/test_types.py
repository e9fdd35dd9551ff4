"""The adapters against vLLM's own sources: the installed engine, and trees named in VLLM_OLDER and VLLM_RECENT."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kvstore.engines import ENVIRONMENT, ROOT, require_environment

pytestmark = [pytest.mark.engine, pytest.mark.soak]


@pytest.mark.parametrize(("adapter", "variable"), [
    ("recent", ""), ("recent", "VLLM_RECENT"), ("older", "VLLM_OLDER"),
])
def test_an_adapter_fits_its_vllm(adapter: str, variable: str, tmp_path: Path) -> None:
    require_environment()
    if variable and variable not in os.environ:
        pytest.skip(f"{variable} names no sources of vLLM")
    (tmp_path / "mypy.ini").write_text("[mypy]\n")
    path = os.pathsep.join(filter(None, [os.environ.get(variable, ""), str(ROOT)]))
    checked = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--python-executable", str(ENVIRONMENT / "bin/python"),
            "--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", str(tmp_path / "cache"),
            "--follow-imports=silent", "--ignore-missing-imports", "--explicit-package-bases",
            f"kvstore/engine/{adapter}.py", "kvstore/engine/connector.py",
        ],
        cwd=ROOT, env=os.environ | {"MYPYPATH": path}, capture_output=True, text=True,
    )
    assert checked.returncode == 0, checked.stdout
