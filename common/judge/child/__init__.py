"""Runs inside the sandbox: the zygote, the warden of one candidate, and the candidate's own process.

Holds no reference, seed, tolerance or expected value: whatever is here, a candidate may read and change.
"""
