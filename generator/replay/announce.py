"""How a server process says that it listens: one JSON line on stdout, and in a file if asked."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def announce(ready_file: Path | None, **facts: Any) -> None:
    """The file appears whole or not at all, and before the line."""
    line = json.dumps({**facts, "pid": os.getpid()})
    if ready_file is not None:
        partial = ready_file.with_name(ready_file.name + ".partial")
        partial.write_text(line + "\n")
        partial.replace(ready_file)
    print(line, flush=True)
