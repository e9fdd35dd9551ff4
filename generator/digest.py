"""One digest for sources that differ in comments and layout only. Pure.

Python is compared by its tokens: comments, blank lines, indentation width and spaces do not count. A string literal
that looks like C++ (it has an `#include`, or both `{` and `;`) counts by its C++ tokens, because a kernel's source
travels in such strings. Everything else counts, docstrings included: a string may be used. Whatever does not tokenise
is compared as it stands. So equal digests mean equal programs, and unequal ones may still be the same program.
"""
from __future__ import annotations

import ast
import hashlib
import io
import re
import token
import tokenize
from collections.abc import Iterator

_LAYOUT = {token.INDENT, token.DEDENT, token.NEWLINE}
_IGNORED = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, token.ENDMARKER}

_CPP = re.compile(
    r"""
    (?P<comment> //(?:[^\n\\]|\\.|\\\n)* | /\*.*?\*/ )
  | (?P<raw>     (?:u8|[uUL])?R"(?P<mark>[^()\s\\]*)\(.*?\)(?P=mark)" )
  | (?P<text>    "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
  | (?P<join>    \\\n )
  | (?P<line>    \n )
  | (?P<space>   [ \t\r\f\v]+ )
  | (?P<word>    (?:\.?\d(?:[eEpP][+-]|[\w.'])*) | [A-Za-z_]\w* )
  | (?P<sign>    <<=|>>=|<=>|\.\.\.|->\*|\+\+|--|->|<<|>>|[-+*/%&|^!=<>]=|&&|\|\||::|\#\#|. )
    """,
    re.VERBOSE | re.DOTALL,
)


def source_digest(source: str) -> str:
    """SHA-256, hexadecimal, of a Python source without comments and layout."""
    try:
        parts = list(_python(source))
    except (tokenize.TokenError, SyntaxError, ValueError):
        parts = ["untokenised", source]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def _python(source: str) -> Iterator[str]:
    for item in tokenize.generate_tokens(io.StringIO(source).readline):
        if item.type in _IGNORED:
            continue
        if item.type in _LAYOUT:
            yield token.tok_name[item.type]
        elif item.type == token.STRING:
            yield _string(item.string)
        else:
            yield item.string


def _string(literal: str) -> str:
    """By its value, however it is quoted; C++ by its tokens."""
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return literal
    if isinstance(value, str) and ("#include" in value or ("{" in value and ";" in value)):
        return "C++ " + " ".join(_cpp(value))
    return repr(value)


def _cpp(source: str) -> Iterator[str]:
    """C++ tokens. The end of a line counts where it ends a directive, a space where it ends a macro's name."""
    directive: list[str] = []
    fresh = True
    before = 0
    for match in _CPP.finditer(source):
        kind = match.lastgroup
        if kind == "line":
            if directive:
                yield "\n"
            directive, fresh = [], True
        elif kind not in ("comment", "space", "join"):
            if directive[1:2] == ["define"] and len(directive) == 3 and before == match.start():
                yield "without-space"
            if directive or (fresh and match[0] == "#"):
                directive.append(match[0])
            fresh = False
            before = match.end()
            yield match[0]
