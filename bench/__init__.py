"""Measurements of the system's parts; each module is one command and says what it needs."""
