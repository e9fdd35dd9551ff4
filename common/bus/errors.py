"""What can go wrong on the bus, each in one line that says what to do."""
from __future__ import annotations

from common.errors import SpecgenError


class BusError(SpecgenError):
    """Base of every error the bus raises on purpose."""


class Unreachable(BusError):
    """No server, a wrong token, or a server that did not answer in time."""


class StreamFull(BusError):
    """The stream refuses new messages; nothing was stored."""


class TooLarge(BusError):
    """The message exceeds what the server takes; nothing was stored."""


class AlreadyThere(BusError):
    """A message with that subject (or a key of that name) exists and is not the one written here."""


class KeyChanged(BusError):
    """The key's revision is not the expected one: somebody else wrote or deleted it."""


class LeaseHeld(BusError):
    """Somebody else holds the lease."""

    def __init__(self, key: str, holder: str) -> None:
        super().__init__(f"lease {key} is held by {holder}")
        self.key = key
        self.holder = holder


class LeaseLost(BusError):
    """The lease ran out or was taken over; whatever it protected must stop."""


class StateInUse(BusError):
    """Another server works on this state directory."""


class ServerFailed(BusError):
    """The server could not be started."""
