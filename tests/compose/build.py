"""Go through a Dockerfile in a plain root, without Docker: `python -m tests.compose.build ROOT FILE [COMMAND …]`.

ROOT is a folder with a Debian system that has what FILE's base image has (`python` and venv for the Python images), as
`debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm ROOT` makes. Each stage begins
with a copy of it and runs the file's instructions in a chroot; COMMAND is run in the last one, as its user. Needs root
and the network. What Docker itself adds (layers, the base image's own settings) has no part here.
"""
from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.compose.files import ROOT

Step = tuple[str, str]


@dataclass
class Stage:
    root: Path
    folder: str = "/"
    user: str = "root"
    env: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})

    def run(self, command: list[str]) -> int:
        """In the chroot, with /proc and /dev mounted in a mount namespace of its own."""
        script = (
            'mount --make-rprivate / && mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && root="$1" && '
            'folder="$2" && user="$3" && shift 3 && '
            'exec chroot --userspec="$user" "$root" /bin/sh -c \'cd "$0" && exec "$@"\' "$folder" "$@"'
        )
        words = ["unshare", "--mount", "sh", "-c", script, "sh", str(self.root), self.folder, self.user, *command]
        return subprocess.run(words, env=self.env).returncode


def steps(text: str) -> list[Step]:
    """Instructions in order; lines joined, comments out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word.upper(), rest.strip()) for word, rest in re.findall(r"^(\w+) +(.*)$", joined, re.MULTILINE)]


def context(ignore: str) -> list[str]:
    """What .dockerignore lets through: here always `*`, then names with `!`."""
    return [line[1:] for line in ignore.splitlines() if line.startswith("!")]


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True,
                        ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copy(source, target)


class Build:
    def __init__(self, base: Path, work: Path) -> None:
        self._base, self._work = base, work
        self._stages: dict[str, Stage] = {}
        self.last = Stage(base)

    def step(self, word: str, rest: str) -> None:
        stage = self.last
        match word:
            case "FROM":
                name = rest.split(" AS ")[1] if " AS " in rest else str(len(self._stages))
                root = self._work / name
                subprocess.run(["cp", "-a", "--reflink=auto", str(self._base), str(root)], check=True)
                self.last = self._stages[name] = Stage(root)
            case "ARG" | "ENV":
                for name, value in (part.split("=", 1) for part in shlex.split(rest)):
                    stage.env[name] = re.sub(r"\$(\w+)", lambda match: stage.env.get(match[1], ""), value)
            case "WORKDIR":
                stage.folder = rest
                (stage.root / rest[1:]).mkdir(parents=True, exist_ok=True)
            case "USER":
                stage.user = f"{rest}:{rest}"
            case "COPY":
                self._copy(stage, rest.split())
            case "RUN":
                if stage.run(["/bin/sh", "-c", rest]):
                    raise SystemExit(f"failed: RUN {rest}")

    def _copy(self, stage: Stage, words: list[str]) -> None:
        given = words.pop(0) if words[0].startswith("--from=") else None
        source, target = words
        place = stage.root / target[1:] if target.startswith("/") else stage.root / stage.folder[1:] / target
        if given:
            copy(self._stages[given.removeprefix("--from=")].root / source[1:], place)
            return
        allowed = context((ROOT / ".dockerignore").read_text())
        for name in allowed if source == "." else [source]:
            if name not in allowed:
                raise SystemExit(f"COPY {source}: .dockerignore keeps it out")
            copy(ROOT / name, place / name if source == "." else place)


def main() -> int:
    base, file, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory(dir=Path(base).parent) as work:
        build = Build(Path(base), Path(work))
        for word, rest in steps(Path(file).read_text()):
            print(f"{word} {rest}", flush=True)
            build.step(word, rest)
        return build.last.run(command) if command else 0


if __name__ == "__main__":
    raise SystemExit(main())
