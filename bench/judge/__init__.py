"""Candidates a minute, and where their time goes: `python -m bench.judge`.

The same candidates are judged by this project's judges and by a plain harness, taking turns in one run: first with
empty caches, then again with what the first pass left. As the services do it on one device, several judges compile side
by side, one at a time has the device to validate on, and another judge times what passed; all candidates are there at
once, and `queue` is how long one waited for a stage. Of each task in the sample there are `--each` candidates, of which
a run has hundreds: what is computed once a task weighs the less the more there are. The plain harness (`plain.py`) does
what the usual evaluation of KernelBench does: a new process for each candidate that imports torch, builds the
extension, computes the reference again, compares with `allclose` and times candidate and reference in its own process.
It is the slower to fool the better: nothing it says is trusted here but its time.
"""
