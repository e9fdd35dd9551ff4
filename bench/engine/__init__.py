"""Measuring the engine, and playing recorded text through it. Nothing here is imported by a service."""
