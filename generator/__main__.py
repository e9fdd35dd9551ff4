"""`python -m generator`: one generator service."""
from common.service import run_service
from generator.service import serve


def main() -> int:
    return run_service("generator", serve)


if __name__ == "__main__":
    raise SystemExit(main())
