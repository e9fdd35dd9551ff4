"""From what a candidate asks for to a module in the cache, or the compiler's text."""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from common.judge.build import commands, headers
from common.judge.build.narrow import NARROW, binds_alone, calls_kernels_alone
from common.judge.build.precompiled import LeanHeaders
from common.judge.build.run import Compilers, Ran
from common.judge.build.store import Store
from common.judge.build.toolchain import Toolchain
from common.judge.faults import JudgeFault
from common.judge.protocol import Built, Extension

_MODULE, _ERROR, _NAMES = "module.so", "error.txt", "names.txt"
_Words = Callable[[Toolchain, Extension, str, str, Path | None], list[str]]
"""A command line, as `commands` makes it."""
_NAME_BYTES, _COMMAND_BYTES, _WORD_BYTES = 255, 100_000, 16
"""What Linux takes for a file's name, for a command line (at least 128 KiB) and beside each word of it."""


class BuildStopped(Exception):
    """The build was ended from outside."""


class Builder:
    """Keyed by the extension as asked for, flags, toolchain, processor and GPUs; failures are kept too."""

    def __init__(self, tools: Toolchain, store: Store, compilers: Compilers) -> None:
        self._tools = tools
        self._store = store
        self._compilers = compilers
        self._lean = LeanHeaders(tools, store, compilers)

    def key(self, wanted: Extension) -> str:
        made_with = (wanted, self._tools.digest, headers.LEAN, NARROW)
        return hashlib.sha256(msgspec.msgpack.encode(made_with)).hexdigest()

    def get(self, wanted: Extension) -> Built:
        """The module from the cache, built first where it is missing. Never raises for what a source does."""
        if problem := _refused(wanted, self._tools):
            return Built(error=problem)
        key = self.key(wanted)
        folder = self._store.find(key) or self._build(key, wanted)
        return _read(folder) if isinstance(folder, Path) else folder

    def module(self, key: str) -> bytes | None:
        """A module built before, by its key; None where the cache no longer has it."""
        folder = self._store.find(key)
        return _read(folder).module or None if folder else None

    def _build(self, key: str, wanted: Extension) -> Path | Built:
        folder = self._store.workspace()
        try:
            result = self._compile(wanted, folder)
            if result.timed_out:
                return Built(error=f"the compiler was stopped: {result.text}")
            return self._store.keep(key, self._found(result, folder / _MODULE))
        finally:
            self._store.discard(folder)

    def _found(self, result: Ran, module: Path) -> Path:
        """A folder with the module, or with the text where there is none. Of what else a compiler left nothing is kept:
        its flags can make it run anything, and a link would lead this process out of its sandbox."""
        kept = self._store.workspace()
        if not result.code and module.is_file() and not module.is_symlink():
            module.rename(kept / _MODULE).chmod(0o644)
        else:
            (kept / _ERROR).write_text(result.text or "the compiler wrote no module and said nothing")
        return kept

    def _compile(self, wanted: Extension, folder: Path) -> Ran:
        for name, text in wanted.files.items():
            (folder / name).write_text(text)
        objects = {source: f"{index}.o" for index, source in enumerate(wanted.sources)}
        with ThreadPoolExecutor() as pool:  # how many compilers run at once is settled by `Compilers`
            runs = list(pool.map(lambda pair: self._compile_one(wanted, folder, *pair), objects.items()))
        for ran in runs:
            if ran.code:
                return ran
        return self._run(commands.link(self._tools, wanted, list(objects.values()), _MODULE), folder)

    def _compile_one(self, wanted: Extension, folder: Path, source: str, target: str) -> Ran:
        if source.endswith(commands.CUDA_SUFFIX):
            return self._compile_cuda(wanted, folder, source, target)
        if wanted.with_cuda and binds_alone(wanted.files[source]):
            ran = self._compile_narrow(commands.compile_cxx, wanted, folder, source, target)
            if not ran.code or ran.timed_out:
                return ran
        lean = self._lean.folder(wanted.cflags, cuda=wanted.with_cuda)
        try:
            return self._compile_lean(commands.compile_cxx, wanted, folder, source, target, lean)
        finally:
            self._lean.precompile(wanted.cflags, cuda=wanted.with_cuda)

    def _compile_cuda(self, wanted: Extension, folder: Path, source: str, target: str) -> Ran:
        if calls_kernels_alone(wanted.files[source]):
            ran = self._compile_narrow(commands.compile_cuda, wanted, folder, source, target)
            if not ran.code or ran.timed_out or headers.wrong_anyway(ran.text, self._names()):
                return ran
        return self._compile_lean(commands.compile_cuda, wanted, folder, source, target, self._lean.plain())

    def _compile_narrow(self, words: _Words, wanted: Extension, folder: Path, source: str, target: str) -> Ran:
        narrow = self._lean.narrow()
        return self._run(words(self._tools, wanted, source, target, narrow), folder, narrow)

    def _compile_lean(
        self, words: _Words, wanted: Extension, folder: Path, source: str, target: str, lean: Path | None
    ) -> Ran:
        if lean:
            ran = self._run(words(self._tools, wanted, source, target, lean), folder, lean)
            if not ran.code or ran.timed_out or not headers.needs_whole(ran.text, self._names()):
                return ran
        return self._run(words(self._tools, wanted, source, target, None), folder)

    def _names(self) -> set[str]:
        """What `headers.needs_whole` and `headers.wrong_anyway` ask for; found once for a toolchain."""
        key = headers.key(self._tools.digest, ("names",))
        folder = self._store.find(key) or self._store.keep(key, self._collect_names())
        return set((folder / _NAMES).read_text().split())

    def _collect_names(self) -> Path:
        folder = self._store.workspace()
        texts = {"whole": "#include <torch/extension.h>\n", "lean": headers.LEAN}
        for name, text in texts.items():
            (folder / f"{name}.h").write_text(text)
            self._run(commands.preprocess(self._tools, f"{name}.h", f"{name}.txt"), folder)
        whole, lean = ((folder / f"{name}.txt").read_text(errors="replace") for name in texts)
        _clear(folder)
        (folder / _NAMES).write_text(headers.vocabulary(whole, lean))
        return folder

    def _run(self, words: list[str], folder: Path, *readable: Path) -> Ran:
        ran = self._compilers.run(words, folder, list(readable))
        if ran.code == -9 and not ran.timed_out:
            raise BuildStopped
        if ran.code and ran.text.startswith("bwrap: "):
            raise JudgeFault(f"a compiler cannot be run in the sandbox: {ran.text[:300]} (see CXX and CUDA_HOME)")
        return ran


def _refused(wanted: Extension, tools: Toolchain) -> str | None:
    if any("/" in name or name in ("", ".", "..", _MODULE, _ERROR) for name in wanted.files):
        return "a source file's name may not contain a folder"
    if any("\0" in name or name.startswith(("-", "@")) or len(name.encode()) > _NAME_BYTES for name in wanted.files):
        return "a source file's name is none, or reads as a flag"
    if any(name not in wanted.files for name in wanted.sources):
        return "a source is not among the files"
    if not wanted.name.isidentifier():
        return f"{wanted.name!r} is no name for a Python module"
    flags = *wanted.cflags, *wanted.cuda_cflags, *wanted.ldflags
    if any("\0" in flag for flag in flags) or _command_bytes((wanted.name, *flags, *wanted.sources)) > _COMMAND_BYTES:
        return "no command line holds these flags and sources"
    words = [word for flag in flags for word in flag.split()]
    if any(word.startswith(("-fplugin", "-o", "@", "-B", "-wrapper")) for word in words):
        return "a flag asks the compiler to run or write something else"
    if wanted.with_cuda and not tools.nvcc:
        return "this host has no CUDA compiler: write a C++ kernel for the CPU"
    return None


def _command_bytes(words: Iterable[str]) -> int:
    return sum(len(word.encode()) + _WORD_BYTES for word in words)


def _clear(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _read(folder: Path) -> Built:
    error = folder / _ERROR
    return Built(error=error.read_text()) if error.exists() else Built(module=(folder / _MODULE).read_bytes())
