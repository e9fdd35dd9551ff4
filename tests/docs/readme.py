"""The commands that README.md shows: lines of its code blocks that begin with `specgen`, `make` or `docker`."""
from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_FENCED = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_OTHER_FENCES = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)
_COMMAND = re.compile(r"(?:\$ )?((?:specgen|make|docker) .*)")


def commands(text: str) -> list[str]:
    """Each command once, without prompt, comment and line breaks, in order."""
    text = text.replace("\\\n", " ")
    lines = [line for block in _FENCED.findall(text) for line in block.splitlines()]
    lines += _INDENTED.findall(_OTHER_FENCES.sub("", text))
    found = [match[1] for line in lines if (match := _COMMAND.match(line))]
    return list(dict.fromkeys(" ".join(re.split(r"\s+#\s", command)[0].split()) for command in found))
