"""Compiler command lines, the same that `torch.utils.cpp_extension` would give, for one extension."""
from __future__ import annotations

from pathlib import Path

from common.judge.build.toolchain import Toolchain
from common.judge.protocol import Extension

CUDA_SUFFIX = ".cu"
_STANDARD = "-std=c++20"


def compile_cxx(tools: Toolchain, wanted: Extension, source: str, target: str, headers: Path | None) -> list[str]:
    """One C++ translation unit; `headers` is a folder whose files come before torch's of the same name."""
    return [tools.cxx, *([f"-I{headers}"] if headers else []), f"-DTORCH_EXTENSION_NAME={wanted.name}",
            *_common(tools, wanted), "-fPIC", _STANDARD, *_split(wanted.cflags), "-c", source, "-o", target]


def precompile(tools: Toolchain, flags: tuple[str, ...], header: str, target: str, *, cuda: bool) -> list[str]:
    """A header for all extensions with these flags, with CUDA's folders or without."""
    plain = Extension(name="", files={}, sources=(), with_cuda=cuda)
    return [tools.cxx, *_common(tools, plain), "-fPIC", _STANDARD, *flags, "-x", "c++-header", header, "-o", target]


def preprocess(tools: Toolchain, header: str, target: str) -> list[str]:
    """The header with all that it includes, as text."""
    plain = Extension(name="", files={}, sources=())
    return [tools.cxx, *_common(tools, plain), "-fPIC", _STANDARD, "-E", "-P", "-dD", "-x", "c++", header, "-o", target]


def compile_cuda(tools: Toolchain, wanted: Extension, source: str, target: str, headers: Path | None) -> list[str]:
    """One CUDA translation unit, for the GPUs of this host unless its flags name others; `headers` as above."""
    flags = _split(wanted.cuda_cflags)
    targets = () if any("gencode" in flag or flag.startswith("-arch") for flag in flags) else tools.arch_flags
    standard = [] if any(flag.startswith(("-std=", "--std=")) for flag in flags) else [_STANDARD]
    before = [f"-I{headers}"] if headers else []
    return [tools.nvcc, *before, f"-DTORCH_EXTENSION_NAME={wanted.name}", *_common(tools, wanted),
            *tools.facts.nvcc_flags, *targets, "--compiler-options", "-fPIC", *flags, *standard,
            "-c", source, "-o", target]


def link(tools: Toolchain, wanted: Extension, objects: list[str], target: str) -> list[str]:
    folders = tools.facts.cuda_libraries if wanted.with_cuda else tools.facts.libraries
    places = [f"-L{folder}" for folder in folders]
    paths = [f"-Wl,-rpath,{folder}" for folder in folders]
    cuda = ["-lc10_cuda", "-ltorch_cuda", "-lcudart"] if wanted.with_cuda else []
    return [tools.cxx, *objects, "-shared", *_split(wanted.ldflags), *places, *paths, "-lc10", "-ltorch_cpu", *cuda,
            "-ltorch", "-ltorch_python", "-o", target]


def _common(tools: Toolchain, wanted: Extension) -> list[str]:
    includes = tools.facts.cuda_includes if wanted.with_cuda else tools.facts.includes
    return ["-DTORCH_API_INCLUDE_EXTENSION_H", *(word for folder in includes for word in ("-isystem", folder))]


def _split(flags: tuple[str, ...]) -> list[str]:
    """A flag may hold several words (`-Xcompiler -fopenmp`)."""
    return [word for flag in flags for word in flag.split()]
