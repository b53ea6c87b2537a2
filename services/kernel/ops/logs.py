"""Logging: one JSON object a line, or lines for people; nothing secret in either."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.types import Processor

from services.kernel.ops import redaction

# Malformed input from strangers is not a fault of the server: uvicorn logs it as a warning, we as information.
_STRANGERS = ("Invalid HTTP request received", "Unsupported upgrade request", "ASGI callable")


def configure(service: str, *, format: str = "json", level: str = "info") -> None:
    """Set up structlog and the standard library's logging to write to standard output.

    `format` is `json` or `console`. Every line has timestamp, level, event and service.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(allow=()),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Not the standard library's: what is below the level costs next to nothing, and handshakes say much of that.
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_last(format))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    _quiet(level)


def bind(**fields: Any) -> None:
    """Add fields to every line that the current task logs from now on."""
    structlog.contextvars.bind_contextvars(**fields)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Processor: masks tokens, tickets, passwords and credentials wherever they stand in the event."""
    for key, item in list(event.items()):
        if not key.startswith("_"):
            event[key] = redaction.value({key: item})[key]
    return event


def _named(service: str) -> Processor:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
        event.setdefault("service", service)
        return event

    return add


def _last(format: str) -> list[Processor]:
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if format == "console":
        renderer: Processor = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
        return [strip, structlog.processors.format_exc_info, redact, renderer]
    return [
        strip,
        structlog.processors.format_exc_info,
        redact,
        structlog.processors.JSONRenderer(default=str),
    ]


class _Calm(logging.Filter):
    """Turns uvicorn's warnings about malformed requests into information."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno == logging.WARNING and str(record.msg).startswith(_STRANGERS):
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


def _quiet(level: str) -> None:
    # uvicorn's information lines hold the request line of every handshake, query and token included: keep them off.
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.setLevel("WARNING")
    uvicorn.filters[:] = [_Calm()]
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "httpx2", "httpcore2"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").setLevel("CRITICAL")
    for name in ("httpx2", "httpcore2", "asyncio"):
        logging.getLogger(name).setLevel("INFO" if level == "debug" else "WARNING")
