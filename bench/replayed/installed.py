"""The project's settings are found by entry points, which a checkout that is only on PYTHONPATH does not have."""
from __future__ import annotations

import os
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import bench

NAME = "specgen"


def declare(folder: Path) -> None:
    """Where the project is not installed, write its metadata into `folder`, and put that on the path of this process
    and of those it starts."""
    try:
        distribution(NAME)
        return
    except PackageNotFoundError:
        sources = Path(bench.__file__).parents[1]
    project = tomllib.loads((sources / "pyproject.toml").read_text())["project"]
    info = folder / f"{NAME}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text("\n".join(
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()), ""])
        for group, entries in project["entry-points"].items()
    ))
    sys.path.append(str(folder))
    paths = [os.environ.get("PYTHONPATH"), str(sources), str(folder)]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
