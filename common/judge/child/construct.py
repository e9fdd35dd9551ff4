"""Make a candidate's model on tensors without values and without a device, for the extensions that its constructor asks
for: they are built before a device is taken."""
from __future__ import annotations

from types import ModuleType

import torch
from torch._subclasses import fake_tensor

from common.judge.check import fresh_case, load_task, make_init_inputs
from common.judge.protocol import Construct, Constructed


def construct(module: ModuleType, order: Construct) -> Constructed:
    """Raises what the constructor does: BuildError where an extension does not compile, anything else perhaps for want
    of values or of a device."""
    arguments = make_init_inputs(load_task(order.task), fresh_case(b"construct", 0))
    with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        module.ModelNew(*arguments)
    return Constructed()
