"""Errors a person can act on. Outcomes of candidates are data and never raised; bugs crash."""
from __future__ import annotations


class SpecgenError(Exception):
    """One line that says what is wrong and what to do."""


class UsageError(SpecgenError):
    """The caller's input cannot be used: exit code 2."""
