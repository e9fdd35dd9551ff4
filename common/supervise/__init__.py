"""Starting service processes, restarting those that die, ending all of them."""
from common.supervise.process import Service, python_service
from common.supervise.supervisor import Supervisor

__all__ = ["Service", "Supervisor", "python_service"]
