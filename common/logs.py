"""Logs: events with fields, on stderr; JSON where stderr is no terminal.

The level comes from SPECGEN_LOG (debug, info, warning, error).
"""
from __future__ import annotations

import logging
import os
import sys
from typing import Any

import structlog

from common.errors import UsageError

_LEVELS = ("debug", "info", "warning", "error")


def configure(service: str, default: str = "info") -> None:
    """Set up logging for this process; every event carries `service`. `default` is the level where none is named."""
    level = os.environ.get("SPECGEN_LOG", default).lower()
    if level not in _LEVELS:
        raise UsageError(f"SPECGEN_LOG={level!r} is no level: use one of {', '.join(_LEVELS)}")
    renderer: Any = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def get_logger() -> Any:
    return structlog.get_logger()
