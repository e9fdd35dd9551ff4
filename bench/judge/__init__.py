"""Candidates a minute, and where their time goes: `python -m bench.judge`.

The same candidates are judged by this project's judge and by a plain harness, taking turns in one run: first with empty
caches, then again with what the first pass left. The plain harness (`plain.py`) does what the usual evaluation of
KernelBench does: a new process for each candidate that imports torch, builds the extension, computes the reference
again, compares with `allclose` and times candidate and reference in its own process. It is the slower to fool the
better: nothing it says is trusted here but its time.
"""
