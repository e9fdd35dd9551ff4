"""Which stage each device serves: policies behind one small interface.

`elastic` is ours, `published` our reading of the published rule, `static` an even split that never changes. A policy
divides the devices that can serve both stages; one that can serve a single stage serves it (`roles.py`).
"""
from scheduler.pools.elastic import Elastic
from scheduler.pools.policy import Load, Policy
from scheduler.pools.published import Published
from scheduler.pools.static import Static
from scheduler.settings import SchedulerSettings

__all__ = ["Elastic", "Load", "Policy", "Published", "Static", "make_policy"]


def make_policy(settings: SchedulerSettings) -> Policy:
    match settings.pools:
        case "elastic":
            return Elastic(settings)
        case "published":
            return Published()
        case "static":
            return Static()
