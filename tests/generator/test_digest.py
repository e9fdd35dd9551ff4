"""Equal digests for sources that differ in comments and layout, unequal ones for everything else."""
from __future__ import annotations

import pytest

from generator.digest import source_digest

BASE = '''import torch
SOURCE = """
#include <torch/extension.h>
float f(float x) { return x + 1.0f; }  // add
"""
class ModelNew:
    def forward(self, x):
        return x + 1
'''

SAME = {
    "comment": BASE.replace("return x + 1\n", "return x + 1  # one\n"),
    "comment line": "# a kernel\n\n" + BASE,
    "blank lines": BASE.replace("class", "\n\n\nclass"),
    "spaces": BASE.replace("return x + 1\n", "return x+1\n"),
    "indentation": BASE.replace("        return", "            return").replace("    def", "      def"),
    "line break in brackets": BASE.replace("forward(self, x)", "forward(\n        self,\n        x)"),
    "C++ comment": BASE.replace("// add", "/* plus */"),
    "C++ without comment": BASE.replace("  // add", ""),
    "C++ layout": BASE.replace("{ return x + 1.0f; }", "{\n  return x+1.0f;\n}"),
    "kind of quotes": BASE.replace('"""', "'''"),
    "raw string": BASE.replace('SOURCE = """', 'SOURCE = r"""'),
    "carriage returns": BASE.replace("\n", "\r\n"),
}
OTHER = {
    "number": BASE.replace("1.0f", "2.0f"),
    "name": BASE.replace("float x", "float y"),
    "python": BASE.replace("x + 1\n", "x - 1\n"),
    "directive": BASE.replace("#include <torch/extension.h>", "#include <torch/all.h>"),
    "comment mark in a C++ string": BASE.replace("1.0f;", '1.0f; auto s = "// add";'),
    "nesting": BASE.replace("class ModelNew:\n    def forward", "class ModelNew: pass\nif 1:\n    def forward"),
    "operator": BASE.replace("x + 1.0f", "x ++ 1.0f"),
}


@pytest.mark.parametrize("change", SAME)
def test_comments_and_layout_do_not_count(change: str) -> None:
    assert SAME[change] != BASE
    assert source_digest(SAME[change]) == source_digest(BASE)


@pytest.mark.parametrize("change", OTHER)
def test_everything_else_counts(change: str) -> None:
    assert source_digest(OTHER[change]) != source_digest(BASE)


def wrap(source: str) -> str:
    return f'S = r"""\n#include <a>\n{source}\n"""\n'


@pytest.mark.parametrize(("one", "two"), [
    ("#define F(x) x", "#define F (x) x"),
    ("a + +b;", "a ++b;"),
    ("#define A 1\nint b;", "#define A 1 int b;"),
    ('auto s = "a b";', 'auto s = "ab";'),
    ('auto s = R"x(a // b)x";', 'auto s = R"x(a )x";'),
])
def test_layout_that_means_something_in_cpp_counts(one: str, two: str) -> None:
    assert source_digest(wrap(one)) != source_digest(wrap(two))


def test_a_continued_directive_equals_one_on_a_single_line() -> None:
    assert source_digest(wrap("#define A 1 + \\\n 2")) == source_digest(wrap("#define A 1 + 2"))


@pytest.mark.parametrize("broken", ["def f(:\n  '''", "x = (", "\tif\n  a", "", "\x00"])
def test_source_that_does_not_tokenise_still_has_a_digest(broken: str) -> None:
    assert source_digest(broken) == source_digest(broken)
    assert source_digest(broken) != source_digest(BASE)
