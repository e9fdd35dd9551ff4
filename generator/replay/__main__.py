"""`python -m generator.replay`: serve a recording until the parent process ends."""
from __future__ import annotations

import sys

from generator.replay.command import main

if __name__ == "__main__":
    sys.exit(main())
