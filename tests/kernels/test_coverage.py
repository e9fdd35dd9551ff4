"""What the corpus must hold: every known mechanism, and enough honest and wrong kernels of each kind."""
from __future__ import annotations

import ast

from tests.kernels.corpus import kernels, task_source

MECHANISMS = {
    1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 17, 18, 19, 21, 22, 24, 25, 27, 28, 29, 30, 32, 33, 34, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 48, 49, 50, 51, 53, 54, 55,
}
GPU_ONLY = {11, 12, 21, 37, 42}


def test_every_mechanism_is_tried_and_all_that_can_be_on_a_cpu() -> None:
    assert {kernel.mechanism for kernel in kernels("cheats")} == MECHANISMS
    assert {kernel.mechanism for kernel in kernels("cheats", "cpu")} >= MECHANISMS - GPU_ONLY
    assert all(kernel.reason for kernel in kernels("cheats"))


def test_there_are_enough_of_each_kind() -> None:
    sources = [kernel.source for kernel in kernels("honest", "cuda")]
    assert len(kernels("honest", "cpu")) >= 100
    assert sum("import triton" in source for source in sources) >= 25
    assert sum("cuda_sources" in source for source in sources) >= 15
    assert len(kernels("wrong", "cpu")) >= 15


def test_names_are_unique_and_sources_parse() -> None:
    for group in ("honest", "wrong", "cheats"):
        found = kernels(group)
        assert len({(kernel.name, kernel.device) for kernel in found}) == len(found)
        for kernel in found:
            ast.parse(kernel.source)
            assert "class Model(" in task_source(kernel.task)
