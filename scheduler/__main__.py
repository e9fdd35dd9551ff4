"""`python -m scheduler`: the scheduler service. One at a time: a second waits for the first one's lease."""
from common.service import run_service
from scheduler.service import serve


def main() -> int:
    return run_service("scheduler", serve)


if __name__ == "__main__":
    raise SystemExit(main())
