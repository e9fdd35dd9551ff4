"""`python -m generator.engine`: serve a model with vLLM until the parent process ends."""
from __future__ import annotations

import sys

from generator.engine.command import main

if __name__ == "__main__":
    sys.exit(main())
