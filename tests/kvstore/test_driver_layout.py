"""What ctypes makes of the driver's structures and constants, against the driver's own header as a compiler sees it."""
from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kvstore.memory import driver

HEADERS = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include"
pytestmark = pytest.mark.skipif(
    not (HEADERS / "cuda.h").exists() or shutil.which("g++") is None,
    reason="needs g++ and cuda.h: set CUDA_HOME to a CUDA toolkit",
)
STRUCTURES: dict[str, tuple[type[ctypes.Structure], dict[str, str]]] = {
    "CUmemLocation": (driver.Location, {"type": "type", "id": "id"}),
    "CUmemAllocationProp": (driver.Properties, {
        "type": "type", "handles": "requestedHandleTypes", "location": "location", "win32": "win32HandleMetaData",
        "compression": "allocFlags.compressionType", "rdma": "allocFlags.gpuDirectRDMACapable",
        "usage": "allocFlags.usage", "reserved": "allocFlags.reserved",
    }),
    "CUmemAccessDesc": (driver.Access, {"location": "location", "flags": "flags"}),
    "CUipcMemHandle": (driver.IpcHandle, {"reserved": "reserved"}),
    "CUuuid": (driver.Uuid, {"bytes": "bytes"}),
}
CONSTANTS = {
    "_PINNED": "CU_MEM_ALLOCATION_TYPE_PINNED", "_FILE_DESCRIPTOR": "CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR",
    "_ON_DEVICE": "CU_MEM_LOCATION_TYPE_DEVICE", "_READ_WRITE": "CU_MEM_ACCESS_FLAGS_PROT_READWRITE",
    "_RECOMMENDED": "CU_MEM_ALLOC_GRANULARITY_RECOMMENDED", "_LAZY_PEER": "CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS",
}
WIDTHS = {
    "CUdeviceptr": ctypes.c_uint64, "CUmemGenericAllocationHandle": ctypes.c_uint64, "CUdevice": ctypes.c_int,
    "CUcontext": ctypes.c_void_p, "CUresult": ctypes.c_int, "CUmemAllocationHandleType": ctypes.c_int,
}
"""What is passed by value, and the type that the calls pass it as."""


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the compiler says of each expression, by name."""
    asked = {name: f"sizeof({name})" for name in [*STRUCTURES, *WIDTHS]} | {name: name for name in CONSTANTS.values()}
    for name, (_, fields) in STRUCTURES.items():
        asked |= {f"{name}.{field}": f"offsetof({name}, {field})" for field in fields.values()}
    lines = ",\\n".join(f'\\"{name}\\": %lld' for name in asked)
    values = ", ".join(f"(long long)({expression})" for expression in asked.values())
    folder = tmp_path_factory.mktemp("header")
    source, program = folder / "ask.cpp", folder / "ask"
    includes = "".join(f"#include <{name}>\n" for name in ("cstddef", "cstdio", "cuda.h"))
    source.write_text(f'{includes}int main() {{ std::printf("{{{lines}}}", {values}); }}')
    subprocess.run(["g++", f"-I{HEADERS}", "-o", program, source], check=True)
    found: dict[str, int] = json.loads(subprocess.run([program], check=True, capture_output=True).stdout)
    return found


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_is_laid_out_as_in_the_header(name: str, header: dict[str, int]) -> None:
    structure, fields = STRUCTURES[name]
    assert ctypes.sizeof(structure) == header[name]
    assert set(fields) == {field for field, *_ in structure._fields_}
    assert {f: getattr(structure, f).offset for f in fields} == {f: header[f"{name}.{c}"] for f, c in fields.items()}


def test_constants_are_those_of_the_header(header: dict[str, int]) -> None:
    assert {ours: getattr(driver, ours) for ours in CONSTANTS} == {o: header[c] for o, c in CONSTANTS.items()}


def test_values_are_passed_in_the_width_the_driver_takes(header: dict[str, int]) -> None:
    assert {name: ctypes.sizeof(width) for name, width in WIDTHS.items()} == {name: header[name] for name in WIDTHS}
