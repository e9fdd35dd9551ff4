"""`python -m kvstore`: one device's pool; start one more for each further device, with SPECGEN_KVSTORE_DEVICE."""
from common.service import run_service
from kvstore.service import serve


def main() -> int:
    return run_service("kvstore", serve)


if __name__ == "__main__":
    raise SystemExit(main())
