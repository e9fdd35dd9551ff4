"""What the parser recognises, where it says it ends, and that the pieces of the text do not matter."""
from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trigger.parse import Parser
from trigger.signals import STRUCTURAL, Signal

CUDA = """template <typename T>
__global__ void __launch_bounds__(256) scale(
    const T* x,  // {not a brace}

    T* y, int n) {
  /* neither is this }
     nor this } */
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) { y[i] = x[i] * 2; printf("}"); }
}
"""
HOST = """torch::Tensor scale_cuda(torch::Tensor x) {
  auto y = torch::empty_like(x);
  scale<float><<<(x.numel() + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), x.numel());
  return y;
}
"""
OPENMP = """torch::Tensor scale_rows(torch::Tensor x) {
  auto y = torch::empty_like(x);
  #pragma omp parallel for
  for (int64_t i = 0; i < x.numel(); ++i) {
    y.data_ptr<float>()[i] = 2 * x.data_ptr<float>()[i];
  }
  return y;
}
"""
LOOP = """#pragma omp parallel for collapse(2)
for (int i = 0; i < n; ++i)
  for (int j = 0; j < m; ++j) {
    y[i * m + j] = x[i * m + j] > 0 ? x[i * m + j] : 0;
  }
"""
TRITON = """@triton.autotune(configs=[triton.Config({"BLOCK": 256})], key=["n"])
@triton.jit
def scale_kernel(x, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
# a comment out of place
    tl.store(
        y + i,
        2 * tl.load(x + i, mask=i < n),
        mask=i < n,
    )
"""
LAUNCH = """def scale(x):
    y = torch.empty_like(x)
    scale_kernel[(triton.cdiv(x.numel(), 256),)](x, y, x.numel())
    return y
"""
MODEL = """import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = \"\"\"
torch::Tensor twice(torch::Tensor x) {
  return x + x;
}
\"\"\"
module = load_inline(name="twice", cpp_sources=source, functions=["twice"])


class ModelNew(nn.Module):
    def forward(self, x):
        return module.twice(x)
"""


def signals(text: str, size: int = 5) -> list[Signal]:
    parser = Parser()
    found = [s for i in range(0, len(text), size) for s in parser.feed(text[i : i + size])]
    return found + parser.close()


def code(text: str) -> list[tuple[str, str, str]]:
    """Kind, name and source of every piece of code recognised."""
    return [(s.kind, s.name, text[s.start : s.end]) for s in signals(text) if s.kind in STRUCTURAL]


@pytest.mark.parametrize(("kind", "name", "source"), [
    ("kernel_completed", "scale", CUDA),
    ("wrapper_completed", "scale_cuda", HOST),
    ("kernel_completed", "scale_rows", OPENMP),
    ("kernel_completed", "", LOOP),
    ("kernel_completed", "scale_kernel", TRITON),
    ("wrapper_completed", "scale", LAUNCH),
])
@pytest.mark.parametrize("fence", ["", "```cpp\n", "```\n"])
def test_code_fenced_or_not(kind: str, name: str, source: str, fence: str) -> None:
    text = f"One could write:\n\n{fence}{source}{'```' if fence else ''}\n\nThat is all.\n"
    found = [f for f in code(text) if f[0] != "fence_closed"]
    assert found == [(kind, name, source.rstrip("\n"))]


@pytest.mark.parametrize("source", [CUDA, HOST, TRITON, LAUNCH])
def test_completion_is_seen_with_the_next_line(source: str) -> None:
    text = source + "\nSo far so good."
    [found] = [s for s in signals(text, size=1) if s.kind in STRUCTURAL]
    assert found.end == len(source) - 1 and found.seen <= len(source) + 2


def test_a_store_of_a_triton_kernel_is_seen_on_its_own_line() -> None:
    """Which store is the last shows only with the dedent; one that goes on over more lines counts at its first."""
    text = TRITON.replace("    tl.store(", "    tl.store(x_ptr + i, v)\n    tl.store(", 1)
    stored = [s for s in signals(text) if s.kind == "kernel_stored"]
    assert len(stored) == 2
    for signal in stored:
        line = text[: signal.end].splitlines()[-1]
        assert line.startswith("    tl.store(") and text[signal.end] == "\n" and signal.seen == signal.end + 1
    assert not [s for s in signals("We call tl.store(p, v) at the end.\n\n") if s.kind == "kernel_stored"]


def test_a_sketch_left_open_does_not_hide_what_follows() -> None:
    text = "__global__ void sketch(int n) {\n  if (n > 0) {\n    // ...\n\nNo. Rather:\n\n" + CUDA + "\nYes.\n"
    assert [name for _, name, _ in code(text)] == ["scale"]


def test_a_prototype_is_no_kernel() -> None:
    text = "__global__ void scale(const float* x, float* y, int n);\n\nIt is defined later {as said}.\n"
    assert code(text) == []


def test_prose_with_braces_and_parentheses_is_no_function() -> None:
    assert code("Take the set (of rows) {0, 1}. For all i (see above) { nothing } happens; else { } too.\n") == []


def test_a_device_function_is_a_helper() -> None:
    assert [kind for kind, *_ in code("__device__ float twice(float x) { return 2 * x; }\n")] == ["function_completed"]


def test_a_string_left_open_ends_at_the_next_python() -> None:
    text = 'source = """\nint x;\n\nNo, again:\n\ndef plain(x):\n    return x\n\nimport torch\n'
    assert [(kind, name) for kind, name, _ in code(text)] == [("function_completed", "plain")]


def test_the_end_of_the_text_completes_what_is_open() -> None:
    assert [kind for kind, *_ in code(TRITON.rstrip())] == ["kernel_completed"]
    assert [kind for kind, *_ in code("```\nx\n```")] == ["fence_closed"]


def test_fences() -> None:
    text = "```cpp\nint a;\n```\nand then\n```python\nx = 1\n```Here it is.\nAs follows.```python\ny = 2\n```\n"
    found = [text[s.start : s.end] for s in signals(text) if s.kind == "fence_closed"]
    assert found == ["```cpp\nint a;\n```", "```python\nx = 1\n```", "```python\ny = 2\n```"]


def test_a_fence_left_open_ends_where_the_next_opens() -> None:
    found = [s for s in signals("```cpp\nint a;\n\nNo.\n```cpp\nint b;\n```\n") if s.kind == "fence_closed"]
    assert len(found) == 2


def test_assemblable_needs_a_kernel_and_its_caller_in_one_language() -> None:
    def flags(text: str) -> list[bool]:
        return [s.assemblable for s in signals(text + "\nDone.\n") if s.kind in STRUCTURAL]

    assert flags(CUDA + "\n" + HOST) == [False, True]
    assert flags(HOST + "\n" + CUDA) == [False, True]
    assert flags(TRITON + "\n" + LAUNCH) == [False, True]
    assert flags(CUDA + "\n" + LAUNCH) == [False, False]
    assert flags(OPENMP) == [True]


def drafts(text: str) -> list[str]:
    return [s.draft for s in signals(text) if s.draft is not None]


def test_a_complete_module_is_a_draft() -> None:
    assert drafts(f"Thus:\n```python\n{MODEL}```\nDone.\n") == [MODEL]
    assert drafts(f"Thus:\n\n{MODEL}\n\nDone.\n") == [MODEL]


@pytest.mark.parametrize(("old", "new"), [
    ("import torch.nn as nn\n", ""),
    ("class ModelNew", "class Other"),
    ("    def forward(self, x):\n", "    def call(self, x):\n"),
    ("return module.twice(x)", "return module.twice(x"),
    ("  return x + x;\n", "  // ... as above\n"),
    ("        return module.twice(x)", "        ..."),
    ("module = load_inline", "module = load"),
])
def test_an_incomplete_module_is_none(old: str, new: str) -> None:
    source = MODEL.replace(old, new)
    if old == "module = load_inline":
        source = source.replace("from torch.utils.cpp_extension import load_inline\n", "")
    assert source != MODEL
    assert drafts(f"Thus:\n```python\n{source}```\nDone.\n") == []
    assert drafts(f"Thus:\n\n{source}\n\nDone.\n") == []


@pytest.mark.parametrize(("kind", "line"), [
    ("revised", "Wait, the mask is missing here."),
    ("revised", "Actually that is not what the loop does."),
    ("revised", "Hmm, this won't work for odd sizes."),
    ("announced", "Now let me write the code for this."),
    ("announced", "Putting it all together:"),
    ("announced", "I'll implement the wrapper next."),
    ("decided", "So I'll use a tile of 32 x 32 elements in shared memory."),
    ("decided", "Each thread computes one output element."),
    ("decided", "const int BLOCK_SIZE = 256;"),
])
def test_phrases(kind: str, line: str) -> None:
    assert kind in [s.kind for s in signals(f"Some rows are long.\n{line}\nOthers are short.\n")]


def test_plain_prose_says_nothing() -> None:
    assert signals("The input has sixteen rows and the output has as many.\n") == []


def test_silence_comes_at_its_distance() -> None:
    words = random.Random(3)
    text = "".join(f"{words.getrandbits(200):x}\n" for _ in range(200))
    found = [s.seen for s in signals(text) if s.kind == "silence"]
    assert len(found) == len(text) // 3000 and 3000 <= found[0] < 3100


def test_repetition_is_noticed_once() -> None:
    loop = "".join(f"The kernel must also be compatible with the {w} mode of the system. \n\n" for w in "abcdefgh") * 30
    found = [s.seen for s in signals(loop) if s.kind == "repeating"]
    assert len(found) == 1 and found[0] < 8000
    assert len([s for s in signals("ab " * 5000) if s.kind == "repeating"]) == 1


def test_a_long_loop_is_noticed() -> None:
    words = random.Random(5)
    paragraph = "".join(f"{words.getrandbits(300):x}\n" for _ in range(10))
    period = paragraph + CUDA
    found = [s.seen for s in signals(period * 80) if s.kind == "repeating"]
    assert len(found) == 1


FRAGMENTS = st.sampled_from([
    CUDA, HOST, OPENMP, LOOP, TRITON, LAUNCH, MODEL, "```", "```cpp\n", "```\n", "```python", '"""', "'''", "\n", "{",
    "\n\n",    "}", "(", ")", ";", "/*", "*/", "//", '"', "'", "    ", "\t", "def f(x):\n", "class A(nn.Module):\n",
    "@triton.jit\n", "__global__ void k(int n) {\n", "#pragma omp parallel for\n", "Wait, no.\n", "é ü 漢字\n", "\r\n",
    "for (int i = 0; i < n; ++i) {\n", "import torch\n", "x" * 2100,
])


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(FRAGMENTS, max_size=14), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_pieces_do_not_matter(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    whole = Parser()
    expected = whole.feed(text) + whole.close()
    pieces, found, at, i = Parser(), [], 0, 0
    while at < len(text):
        size = cuts[i % len(cuts)]
        found += pieces.feed(text[at : at + size])
        at, i = at + size, i + 1
    assert found + pieces.close() == expected


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(FRAGMENTS, max_size=14), first_char=st.integers(0, 10_000))
def test_offsets_lie_in_the_text_and_come_in_order(parts: list[str], first_char: int) -> None:
    text = "".join(parts)
    parser = Parser(first_char)
    found = parser.feed(text) + parser.close()
    seen = [s.seen for s in found]
    assert seen == sorted(seen)
    assert all(first_char <= s.start < s.end <= first_char + len(text) and s.end <= s.seen for s in found)
    assert [s.seen - first_char for s in found] == [s.seen for s in signals(text)]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    signals(text)
