"""`torch.utils.cpp_extension` for candidates: `load` and `load_inline` mean what they mean, but the compiler is run by
the judge, outside of this process, and its result is cached there."""
from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils import cpp_extension

from common.judge.protocol import Build, Built, Extension, encode, order_decoder, request_key
from common.judge.wire import recv_frame_fds, send_frame

_HEADERS = (".h", ".hpp", ".hh", ".cuh", ".inc")
_LOADED: list[str] = []


class BuildError(RuntimeError):
    """The compiler's text."""


class Builder:
    """Stands in for the part of cpp_extension that writes a ninja file and runs it."""

    def __init__(self, inbox: socket.socket, files: dict[str, bytes]) -> None:
        self._inbox = inbox
        self._files = files
        self._awaited = True

    @contextmanager
    def unawaited(self) -> Iterator[None]:
        """For a call, to which the judge awaits its result and nothing else: what asks for a build gets a BuildError
        that says where to build."""
        self._awaited = False
        try:
            yield
        finally:
            self._awaited = True

    def jit_compile(
        self, name: str, sources: Sequence[str], extra_cflags: Any, extra_cuda_cflags: Any, extra_sycl_cflags: Any,
        extra_ldflags: Any, extra_include_paths: Any, build_directory: str, verbose: bool, with_cuda: bool | None,
        with_sycl: bool | None, is_python_module: bool, is_standalone: bool, keep_intermediates: bool = True,
    ) -> Any:
        if is_standalone:
            raise BuildError("is_standalone=True builds a program; only modules can be built here")
        wanted = describe(name, sources, extra_cflags, extra_cuda_cflags, extra_ldflags, extra_include_paths, with_cuda)
        path = self._place(wanted)
        _LOADED.append(name)
        if is_python_module:
            return import_file(name, path)
        torch.ops.load_library(path)  # type: ignore[no-untyped-call]
        return str(path)

    def _place(self, wanted: Extension) -> Path:
        """A file with the built module, in a folder of its own."""
        module = self._files.get(request_key(wanted))
        if module is None:
            module = self._ask(wanted)
        folder = Path.cwd() / "built" / str(len(_LOADED))
        folder.mkdir(parents=True)
        path = folder / f"{wanted.name}.so"
        path.write_bytes(module)
        path.chmod(0o755)
        return path

    def _ask(self, wanted: Extension) -> bytes:
        if not self._awaited:
            raise BuildError(
                "an extension was to be built in forward: call load_inline at the module's top level or in "
                "ModelNew.__init__, which run before anything is timed"
            )
        send_frame(self._inbox, encode(Build(extension=wanted)))
        answer = order_decoder.decode(recv_frame_fds(self._inbox)[0])
        if not isinstance(answer, Built):
            raise BuildError("the judge did not answer with a module")
        if answer.error:
            raise BuildError(answer.error)
        return answer.module


def describe(
    name: str, sources: Sequence[str], cflags: Any, cuda_cflags: Any, ldflags: Any, include_paths: Any,
    with_cuda: bool | None,
) -> Extension:
    paths = [Path(source) for source in ([sources] if isinstance(sources, str) else sources)]
    folders = {path.parent for path in paths} | {Path(path) for path in include_paths or ()}
    headers = [file for folder in folders if folder.is_dir() for file in folder.iterdir() if file.suffix in _HEADERS]
    return Extension(
        name=name,
        files={path.name: path.read_text() for path in (*paths, *headers)},
        sources=tuple(path.name for path in paths),
        cflags=_flags(cflags), cuda_cflags=_flags(cuda_cflags), ldflags=_flags(ldflags),
        with_cuda=any(path.suffix in (".cu", ".cuh") for path in paths) if with_cuda is None else with_cuda,
    )


def _flags(values: Any) -> tuple[str, ...]:
    return tuple(str(value).strip() for value in values or ())


def import_file(name: str, path: Path) -> Any:
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    return module


def loaded() -> int:
    """How many extensions this process has loaded."""
    return len(_LOADED)


def triton_cache() -> Path:
    """Of a process that has not left its own folder."""
    return Path.cwd() / "triton"


def install(inbox: socket.socket, files: dict[str, bytes]) -> Builder:
    """Put the builder in place of torch's, and the folders it writes to under the process's own."""
    os.environ["TORCH_EXTENSIONS_DIR"] = str(Path.cwd() / "ext")
    os.environ["TRITON_CACHE_DIR"] = str(triton_cache())
    os.environ["TRITON_CACHE_AUTOTUNING"] = "1"  # the process that is timed finds what the one that passed has measured
    builder = Builder(inbox, files)
    cpp_extension._jit_compile = builder.jit_compile
    cpp_extension._check_and_build_extension_h_precompiler_headers = lambda *_, **__: None
    return builder
