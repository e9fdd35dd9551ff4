"""Device memory of another process, both kinds: what was stored is loaded, bit for bit."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("kind", ["vmm", "ipc"])
def test_what_was_stored_is_loaded(kind: str) -> None:
    command = [sys.executable, "-m", "bench.kv.copies", "--kind", kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    copies = next(line for line in lines if line["part"] == "copies")
    assert copies["right"] and not any(copies["failed"])
    assert all(line["seconds"] for line in lines if line["part"] == "revoke")
