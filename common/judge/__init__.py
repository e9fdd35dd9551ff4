"""The judge: compiles, checks and times candidates in processes that are not its own, and says what it found as data.

`Judge` is the whole of it for services; importing this package imports no torch. The parts: `client` (asyncio),
`lane/` (the trusted processes), `child/` (inside the sandbox), `sandbox/`, `build/` (compilers and their cache),
`check/` (right or wrong).
"""
from common.judge.artefact import Artefact
from common.judge.client import Judge
from common.judge.faults import JudgeFault
from common.judge.sandbox.probe import sandbox_problem
from common.judge.settings import JudgeSettings

__all__ = ["Artefact", "Judge", "JudgeFault", "JudgeSettings", "sandbox_problem"]
