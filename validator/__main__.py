"""`python -m validator`: one worker, one job at a time; start more for more devices."""
from common.service import run_service
from validator.service import serve


def main() -> int:
    return run_service("validator", serve)


if __name__ == "__main__":
    raise SystemExit(main())
