"""What judge and candidate's process say to each other, as MessagePack frames.

The candidate's process is told inputs and where to put its outputs; it answers with outputs and spans, never a score.
"""
from __future__ import annotations

import hashlib
import struct
from typing import Any

import msgspec

from common.judge.tree import Tree

FRAME_LIMIT = 8 << 20
"""Most bytes of one frame from a candidate's process; outputs travel through the arena."""
EXIT = struct.Struct("<cqq")
"""The warden's last word: `x`, wait status, peak memory in KiB."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    pass


class SpareSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a spare is made for, and its limits."""

    role: str
    """`compile` (no device), `cpu` or `cuda`."""
    index: int = 0
    """CUDA device number."""
    cores: tuple[int, ...]
    memory_mib: int
    address_space: bool
    """Limit the address space too: where no memory cgroup holds, and never with CUDA."""
    processes: int
    tmp_mib: int
    uid: int
    isolated: bool
    """False where the operator switched the sandbox off."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the zygote, which runs no foreign code, says of its Python and torch."""

    python: str
    torch: str
    cuda: str
    triton: str
    extension_suffix: str
    includes: tuple[str, ...]
    cuda_includes: tuple[str, ...]
    libraries: tuple[str, ...]
    cuda_libraries: tuple[str, ...]
    cuda_home: str
    nvcc_flags: tuple[str, ...]


class Load(_Message, frozen=True, kw_only=True):
    source: str
    files: dict[str, bytes]
    """Built extensions by key: files are made of them in the candidate's own /tmp."""
    kernels: dict[str, bytes] = {}
    """What Triton compiled in a former process of the same source, by name below its cache folder."""
    precision: str


class Built(_Message, frozen=True, kw_only=True):
    """Answer to Build: the module, or the compiler's text."""

    module: bytes = b""
    error: str = ""


class Arena(_Message, frozen=True, kw_only=True):
    """A new arena; its descriptor comes with the frame. With size 0: none, and the former one is unmapped."""

    size: int


class Make(_Message, frozen=True, kw_only=True):
    """Build the model: under this seed, with these arguments (tensors inline)."""

    weight_seed: int
    arguments: Tree


class Further(msgspec.Struct, frozen=True, kw_only=True):
    """One more call in the same window, with inputs and a place for outputs of its own."""

    inputs: Tree
    outputs_at: int


class Call(_Message, frozen=True, kw_only=True):
    nonce: int
    """The answer repeats it, so that none can be sent ahead."""
    inputs_at: int
    """Where the inputs of all calls begin; their trees count from there."""
    inputs: Tree
    outputs_at: int
    outputs_room: int
    poison: int | None = None
    """Byte with which freed memory is filled before the call."""
    edited: bool = False
    """The inputs are the former call's tensors, changed in place."""
    empty: bool = False
    """Do not call the model but return its former outputs: measures the path itself."""
    hold: bool = False
    """Keep the outputs alive beyond the next call, and tell whether that one's share their memory."""
    more: tuple[Further, ...] = ()
    """Calls that follow at once; the device is waited for after the last."""
    trace: bool = False
    """Tell which kernels the call launched; slow, so never in a timed call."""
    paced: bool = False
    """Answer Prepared once all is unpacked, wait for Go, and answer Ended before Done."""
    gate: Gate | None = None
    """Of a paced call, in place of Go: launch all of it behind this, and answer Prepared once it is launched."""


class Gate(_Message, frozen=True, kw_only=True):
    """A word (32 bits) of the arena for which the device waits."""

    at: int
    value: int
    """Open as soon as the word is as large."""


class Go(_Message, frozen=True, kw_only=True):
    """The inputs of a paced call are there, and its clock runs."""


class Weigh(_Message, frozen=True, kw_only=True):
    """Tell what the model's weights are like."""


class Count(_Message, frozen=True, kw_only=True):
    """Have the counters of one call of this source read, by a program of its own. Needs no Load before."""

    task: str
    """Its source: it makes the inputs."""
    source: str
    files: dict[str, bytes]
    precision: str
    seconds: float
    """Longest."""


class Collect(_Message, frozen=True, kw_only=True):
    """Tell what Triton has compiled in this process."""


class Construct(_Message, frozen=True, kw_only=True):
    """Make the model without values, so that the extensions its constructor asks for are built. Needs no device."""

    task: str


class Foresee(_Message, frozen=True, kw_only=True):
    """Have Triton compile what calls on a task's shapes will launch, for devices of this compute capability (90: 9.0),
    for at most about so many seconds. Needs no device; the process is of no other use afterwards, but for Collect."""

    task: str
    capability: int
    seconds: float


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate asks to be built, exactly as it asked."""

    name: str
    files: dict[str, str]
    sources: tuple[str, ...]
    """Names among `files` to be compiled; the others are headers beside them."""
    cflags: tuple[str, ...] = ()
    cuda_cflags: tuple[str, ...] = ()
    ldflags: tuple[str, ...] = ()
    with_cuda: bool = False


class Build(_Message, frozen=True, kw_only=True):
    extension: Extension


class Ready(_Message, frozen=True, kw_only=True):
    seconds: float


class Loaded(_Message, frozen=True, kw_only=True):
    pass


class Made(_Message, frozen=True, kw_only=True):
    own_code: bool
    """Whether module or model have loaded an extension or defined a Triton kernel."""


class Mapped(_Message, frozen=True, kw_only=True):
    pass


class Prepared(_Message, frozen=True, kw_only=True):
    """A paced call waits for Go, or is launched behind its gate."""


class Ended(_Message, frozen=True, kw_only=True):
    """A paced call is over; Done follows."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One leaf of what forward returned. A tensor's bytes are at `at` of the arena, contiguous, where they fit."""

    value: Any = None
    type_name: str = "Tensor"
    dtype: str = ""
    shape: tuple[int, ...] = ()
    device: str = ""
    overlap: str = ""
    at: int = -1


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one call returned."""

    spec: str
    outputs: tuple[Output, ...]


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """One launch as CUPTI saw it."""

    name: str
    """Demangled."""
    seconds: float
    grid: tuple[int, ...] = ()
    block: tuple[int, ...] = ()
    registers: int = 0
    """A thread."""
    shared: int = 0
    """Bytes a block."""


class Done(_Message, frozen=True, kw_only=True):
    nonce: int
    spec: str
    outputs: tuple[Output, ...]
    more: tuple[Result, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    """Where a trace was asked for. Evidence: a process can lie about its own kernels."""
    span: float
    """The call's seconds as the candidate's process saw them; evidence, never the figure."""


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """A floating parameter, buffer or other tensor of a model. NaN where it holds no finite values."""

    name: str
    shape: tuple[int, ...]
    values: int
    mean: float
    size: float
    """Mean of the absolute values."""
    spread: float
    """Standard deviation."""


class Weighed(_Message, frozen=True, kw_only=True):
    """Answer to Weigh. Words rest on it, never a verdict."""

    weights: tuple[Weight, ...]


class Counted(_Message, frozen=True, kw_only=True):
    """Answer to Count: ncu's text, or why there is none."""

    text: str = ""
    absent: str = ""


class Collected(_Message, frozen=True, kw_only=True):
    """Answer to Collect."""

    kernels: dict[str, bytes]


class Constructed(_Message, frozen=True, kw_only=True):
    """Answer to Construct."""


class Foreseen(_Message, frozen=True, kw_only=True):
    """Answer to Foresee: launches that were compiled for, and why calls ended before their last."""

    launches: int
    missed: tuple[str, ...]


class Failed(_Message, frozen=True, kw_only=True):
    """An exception, as text."""

    type_name: str
    text: str
    traceback: str
    kind: str = ""
    """`build`, `memory`, `device`, `return` or empty."""


Order = Load | Built | Arena | Make | Call | Go | Weigh | Collect | Count | Construct | Foresee
Answer = (
    Ready | Build | Loaded | Made | Mapped | Prepared | Ended | Done | Weighed | Collected | Counted | Constructed
    | Foreseen | Failed
)

order_decoder = msgspec.msgpack.Decoder(Order)
answer_decoder = msgspec.msgpack.Decoder(Answer)
encode = msgspec.msgpack.Encoder().encode


def request_key(wanted: Extension) -> str:
    """What a candidate asked for, whatever compiler builds it."""
    return hashlib.sha256(encode(wanted)).hexdigest()
