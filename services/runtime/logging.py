"""Structured logs to stderr: one JSON object a line, or readable text. The standard library's loggers go the same way."""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from services.runtime.settings import RuntimeSettings
from services.runtime.telemetry import current_trace_id


def configure_logging(process: str, settings: RuntimeSettings) -> None:
    """Sets up logging for the process. process: its name, in every line. settings: format and level."""
    level = getattr(logging, settings.log_level.upper())
    shared = _shared_processors(process)
    renderer = _renderer(settings.log_format)
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _route_standard_library(level, shared, renderer)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `component=name`. Events are short constant texts, facts are keyword arguments."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=name)
    return logger


def _shared_processors(process: str) -> list[Processor]:
    def add_process(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        add_process,
        _add_trace_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.StackInfoRenderer(),
    ]


def _add_trace_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
    trace_id = current_trace_id()
    if trace_id:
        event["trace_id"] = trace_id
    return event


def _renderer(log_format: str) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=False)]
    # Plain tracebacks: the pretty ones print the values of local variables, which may be megabytes of columns.
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="ts")]


def _route_standard_library(level: int, shared: list[Processor], renderer: list[Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
