"""`python -m trigger`: the trigger service."""
from common.service import run_service
from trigger.service import serve


def main() -> int:
    return run_service("trigger", serve)


if __name__ == "__main__":
    raise SystemExit(main())
