"""Makes an engine load the teacher forcing: `python -m bench.engine.plugin DIR` prints the environment it needs."""
from __future__ import annotations

import argparse
import os
from pathlib import Path

import bench

ENTRIES = """\
[vllm.logits_processors]
forced = bench.engine.forcing:Forcing

[vllm.general_plugins]
known = bench.engine.known:register
"""


def write_plugin(folder: Path) -> dict[str, str]:
    """Write a distribution that declares the plugin and holds nothing else; returns the variables an engine needs."""
    info = folder / "specgen_forcing-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: specgen-forcing\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    sources = Path(bench.__file__).parents[1]
    paths = [str(folder.absolute()), str(sources), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "VLLM_USE_V2_MODEL_RUNNER": "0"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.engine.plugin", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the distribution is written")
    print(" ".join(f"{name}={value}" for name, value in write_plugin(parser.parse_args().folder).items()))
