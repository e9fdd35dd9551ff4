"""`python -m docs.generate` writes the pages, `--check` says which are stale."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from docs.generate.asyncapi import asyncapi
from docs.generate.page import page

DOCS = Path(__file__).parents[1]


def pages() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    return {DOCS / "subjects.md": page(), DOCS / "asyncapi.yaml": asyncapi()}


def stale() -> list[Path]:
    return [path for path, text in pages().items() if not path.exists() or path.read_text() != text]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a page is stale")
    if parser.parse_args().check:
        old = stale()
        print("\n".join(f"{path.name} is stale: run `python -m docs.generate`" for path in old), file=sys.stderr)
        return 1 if old else 0
    for path, text in pages().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
