"""A whole SpecGen on this host: the bus's server and every service, started, supervised and ended together."""
from common.system.local import LocalSystem, local_system
from common.system.plan import Plan, make_plan
from common.system.up import is_up

__all__ = ["LocalSystem", "Plan", "is_up", "local_system", "make_plan"]
