"""The bus: typed messages over NATS. Nothing outside this package imports nats.

`Bus` is what services use, `start_server` runs a server of our own, `BusSettings` says where and how much.
"""
from common.bus.bus import Bus
from common.bus.delivery import Delivery
from common.bus.errors import (
    AlreadyThere,
    BusError,
    KeyChanged,
    LeaseHeld,
    LeaseLost,
    ServerFailed,
    StateInUse,
    StreamFull,
    TooLarge,
    Unreachable,
)
from common.bus.follow import Follower, Since
from common.bus.lease import Lease, read_holder
from common.bus.listen import Listener
from common.bus.patient import FULL_WAIT, record_patiently
from common.bus.server import Server, start_server
from common.bus.settings import BusSettings
from common.bus.streams import LEASES, STATE
from common.bus.table import Entry, Table
from common.bus.task import Task
from common.bus.work import Work

__all__ = [
    "FULL_WAIT", "LEASES", "STATE",
    "AlreadyThere", "Bus", "BusError", "BusSettings", "Delivery", "Entry", "Follower", "KeyChanged", "Lease",
    "LeaseHeld", "LeaseLost", "Listener", "Server", "ServerFailed", "Since", "StateInUse", "StreamFull", "Table",
    "Task", "TooLarge", "Unreachable", "Work", "read_holder", "record_patiently", "start_server",
]
