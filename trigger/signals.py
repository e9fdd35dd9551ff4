"""What the parser recognises in a reasoning text."""
from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal[
    "started", "kernel_completed", "wrapper_completed", "model_completed", "function_completed", "fence_closed",
    "kernel_stored", "announced", "decided", "revised", "silence", "repeating",
]
"""The very beginning, before any reasoning; the body of a kernel (CUDA, Triton, or C++ with parallel loops), of a host
wrapper, of `ModelNew` or of any other function; a closed fence; a store of a Triton kernel, which may be its last;
phrases; a long stretch without any of these; a generation that repeats itself."""

STRUCTURAL: frozenset[Kind] = frozenset({
    "kernel_completed", "wrapper_completed", "model_completed", "function_completed", "fence_closed",
})
"""Code that is complete."""
CODE: frozenset[Kind] = STRUCTURAL | {"kernel_stored"}
"""And code that may be."""


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One of these at one place. Offsets count characters from the generation's first."""

    kind: Kind
    start: int
    end: int
    """Just after its last character: where a fork is cut."""
    seen: int
    """How much text had to be read to know it; `end` or a little more (a dedent shows on the next line)."""
    name: str = ""
    digest: int = 0
    """Of the code that is complete, without comments and layout: the same again says nothing new. 0 for phrases."""
    assemblable: bool = False
    """A kernel and what calls it both stand in the text: a fork has little left but to copy."""
    sketch: bool = False
    """Parts of the code are left out (`...`)."""
    familiar: float | None = None
    """Share of a kernel's lines that stood in the kernel before it (None for the first one, and for what is no kernel):
    a design that settles repeats itself."""
    draft: str | None = None
    """A complete candidate that stands in the text and needs no generation."""
