"""Trace context: W3C `traceparent` from gRPC metadata to Kafka headers and on.

Without an exporter spans are not recorded, only their identity is carried: that costs two microseconds a call and loads no SDK.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16

_tracer: trace.Tracer | None = None


def configure_tracing(process: str, exporter: "SpanExporter | None" = None) -> None:
    """Names the process in traces. exporter: where spans go; None records none and carries the context only."""
    global _tracer  # noqa: PLW0603 - one process, one tracer
    _tracer = _sdk_tracer(process, exporter) if exporter else None


def _sdk_tracer(process: str, exporter: "SpanExporter") -> trace.Tracer:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.namespace": "signalbox", "service.name": process}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider.get_tracer("signalbox")


def new_traceparent() -> str:
    """A new, sampled trace."""
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


def is_traceparent(text: str | None) -> bool:
    """Whether a text is a valid version-00 traceparent."""
    return parse_traceparent(text) is not None


def parse_traceparent(text: str | None) -> SpanContext | None:
    """The span a traceparent names, or None when it is absent or malformed (W3C: then a new trace begins)."""
    match = _TRACEPARENT.match(text) if text else None
    if match is None or match[1] == _NO_TRACE or match[2] == _NO_SPAN:
        return None
    return SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=TraceFlags(int(match[3], 16)))


def current_traceparent() -> str | None:
    """The traceparent to send on: of the current span, or None outside any."""
    context = trace.get_current_span().get_span_context()
    return format_traceparent(context) if context.is_valid else None


def current_trace_id() -> str | None:
    """32 hexadecimal digits, or None outside any span."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def format_traceparent(context: SpanContext) -> str:
    """A span's identity as a traceparent."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


@contextmanager
def span_from(traceparent: str | None, name: str) -> Iterator[Span]:
    """A span that is current inside the block: child of `traceparent` if that is valid, else the first of a new trace."""
    parent = parse_traceparent(traceparent)
    if _tracer is not None:
        context = trace.set_span_in_context(NonRecordingSpan(parent)) if parent else None
        with _tracer.start_as_current_span(name, context=context) as span:
            yield span
        return
    with trace.use_span(NonRecordingSpan(_child_of(parent)), end_on_exit=False) as span:
        yield span


def _child_of(parent: SpanContext | None) -> SpanContext:
    trace_id = parent.trace_id if parent else int.from_bytes(os.urandom(16), "big")
    flags = parent.trace_flags if parent else TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(trace_id, int.from_bytes(os.urandom(8), "big") or 1, is_remote=False, trace_flags=flags)
