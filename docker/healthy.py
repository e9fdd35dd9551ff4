"""Health check of a container: `python healthy.py SERVICE [MONITOR_URL]`.

Asks the NATS server whether this host's service is connected. A service that hangs stops answering the server's pings,
is cut off after half a minute and is then missing from the list. Standard library only, so that it is quick.
"""
from __future__ import annotations

import json
import re
import socket
import sys
import urllib.request

MONITOR = "http://nats:8222"


def connections(monitor: str) -> list[str]:
    """Names of the server's clients."""
    with urllib.request.urlopen(f"{monitor}/connz?limit=65536", timeout=5) as answer:
        return [client.get("name", "") for client in json.load(answer)["connections"]]


def is_connected(service: str, names: list[str], host: str) -> bool:
    """Whether a client is called as this host's services call themselves: <service>-<host>-<pid>."""
    prefix = f"{service}-{re.sub(r'[^A-Za-z0-9_-]', '-', host)}-"
    return any(name.startswith(prefix) and name.removeprefix(prefix).isdigit() for name in names)


def main() -> int:
    service, monitor = sys.argv[1], (sys.argv[2:] or [MONITOR])[0]
    try:
        names = connections(monitor)
    except OSError as error:
        print(f"the NATS server does not answer at {monitor}: {error}")
        return 1
    if is_connected(service, names, socket.gethostname()):
        return 0
    print(f"{service} is not connected to the bus")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
