"""What a line of reasoning says about its own course: a decision, an announcement, a second thought.

English phrases, as reasoning models use them; a line gives at most one signal of each kind.
"""
from __future__ import annotations

import re
from typing import Literal

Phrase = Literal["revised", "announced", "decided"]

_I = (
    r"(?:let me|let's|let us|time to|i(?:'ll| will| can| should| need to| have to)"
    r"|we(?:'ll| will| can| should| need to))"
)
_CODE = (
    r"(?:the |a |this |my |our |full |final |complete |entire |cuda |triton |c\+\+ |python |actual |custom )*"
    r"(?:code|kernel|kernels|implementation|wrapper|program|module|everything|it all|solution|answer)"
)
_ANNOUNCED = re.compile(
    rf"\b{_I}\s+(?:now\s+|try to\s+|start to\s+|proceed to\s+|start\s+)?"
    rf"(?:write|writing|code|coding|implement|draft|produce|put together|structure|sketch|outline)\b"
    rf"|\bputting (?:it|this|that|everything|all(?: of)? (?:this|that|it)) (?:all )?together"
    rf"|\bhere(?:'s| is| are) {_CODE}\b"
    rf"|\b(?:so|now|thus|therefore),? (?:the )?(?:final|full|complete|entire) {_CODE}\b"
    rf"|\bfinal (?:code|answer|implementation|kernel)\b"
)
_TILING = (
    r"(?:tiles?|tiling|tiled|blocks?|block[_ ]size|tile[_ ](?:size|width|dim)|shared memory|vectori[sz]\w*"
    r"|unroll\w*|fus\w+|coalesc\w+|grid|threads?|warps?|registers?|openmp|parallel\w*|simd)"
)
_DECIDED = re.compile(
    rf"\b{_I}\s+(?:use|choose|pick|go with|set|stick with|proceed with|fuse|tile|assign|launch|parallelize|split)\b"
    rf"[^.]{{0,80}}\b{_TILING}\b"
    rf"|\b(?:block|tile|grid)[_ ]?(?:size|width|dim)\w*\s*(?:=|of|is|to|:)\s*\(?\d+"
    rf"|\b(?:each|one|a single|every) (?:thread|block|warp|program|row|core)\b[^.]{{0,40}}"
    rf"\b(?:handles?|process(?:es)?|computes?|per|is responsible)\b"
    rf"|\b(?:the )?(?:best|better|final|chosen) (?:approach|strategy|design|plan|choice)\b"
)
_REVISED = re.compile(
    r"\b(?:wait|hmm|actually|oops|oh no)\b"
    r"|\b(?:that|this|it)(?:'s| is| was| would be) (?:wrong|incorrect|not (?:right|correct|possible|efficient|good))"
    r"|\b(?:a|my|the) (?:mistake|error|bug|problem) (?:here|in|is|with)\b"
    r"|\b(?:does(?:n't| not)|won't|will not|would not|wouldn't|can't|cannot) work\b"
    r"|\balternatively\b"
)
_HINTS = (
    (_REVISED, "revised"),
    (_ANNOUNCED, "announced"),
    (_DECIDED, "decided"),
)


def phrases(text: str) -> list[tuple[Phrase, int]]:
    """Kind and offset of the first phrase of each kind in a line, in the order of their offsets."""
    lowered = text.lower()
    found: list[tuple[Phrase, int]] = []
    for expression, kind in _HINTS:
        if match := expression.search(lowered):
            found.append((kind, match.start()))  # type: ignore[arg-type]
    return sorted(found, key=lambda item: item[1])
