"""Trace context and spans: W3C `traceparent` from gRPC metadata to Kafka headers and on; OTLP export when a collector is named.

Without OTEL_EXPORTER_OTLP_ENDPOINT no span is made and no SDK is loaded: only the identity that came in is carried on. With it a trace is sampled
where it begins, and whoever meets it later follows that decision, so that a trace is whole or absent. The spans of Kafka records are in
`record_spans`.
"""

import os
import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from services.runtime.tracer import Recorder

AttributeValue = str | int | float | bool
Attributes = Mapping[str, AttributeValue]

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
#: The last digit of flags whose lowest bit, "sampled", is set.
_SAMPLED_DIGITS = frozenset("13579bdf")
#: Seconds for the last spans at the end of a process.
_LAST_EXPORT_S = 1.5

#: Our own, so that nobody who seeds the common one makes identities repeat. A call to the system for each cost more than the rest of a span.
_ids = random.Random()

_NOTHING = Context()

_recorder: "Recorder | None" = None


def configure_tracing(process: str, exporter: "SpanExporter | None" = None) -> None:
    """Begins to record the spans of this process, or stops when there is nowhere to send them.

    exporter: where spans go; None takes OTLP over gRPC when OTEL_EXPORTER_OTLP_ENDPOINT is set. Raises ValidationError when TracingSettings are wrong.
    """
    global _recorder  # noqa: PLW0603 - one process, one recorder
    _recorder = None
    if exporter is None and not _wants_otlp():
        return
    # Only now: the SDK and the exporter take a third of a second.
    from services.runtime.tracer import Recorder, otlp_exporter

    _recorder = Recorder(process, exporter or otlp_exporter())


def _wants_otlp() -> bool:
    # Without pydantic, for the commands that import this and never trace.
    return bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")) and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"


def end_tracing() -> None:
    """Sends what waits, for at most 1.5 s, and stops recording. To be called once, when the process ends."""
    global _recorder
    recorder, _recorder = _recorder, None
    if recorder is not None:
        # In a thread, because a collector that does not answer holds the exporter for longer than a process may take to end.
        last = threading.Thread(target=recorder.shutdown, daemon=True)
        last.start()
        last.join(_LAST_EXPORT_S)


def is_recording() -> bool:
    """Whether this process records spans at all."""
    return _recorder is not None


def new_traceparent() -> str:
    """A new trace that nobody records: what follows is not recorded either."""
    return format_traceparent(_fresh_context())


def is_traceparent(text: str | None) -> bool:
    """Whether a text is a valid version-00 traceparent."""
    return parse_traceparent(text) is not None


def is_sampled(traceparent: str | None) -> bool:
    """Whether a valid traceparent says that its trace is recorded."""
    return traceparent is not None and traceparent[-1:] in _SAMPLED_DIGITS


def parse_traceparent(text: str | None) -> SpanContext | None:
    """The span a traceparent names, or None when it is absent or malformed (W3C: then a new trace begins)."""
    match = _TRACEPARENT.fullmatch(text) if text else None
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


def annotate(attributes: Attributes) -> None:
    """Adds attributes to the current span, if there is one that is recorded."""
    if (span := recorded_span()) is not None:
        span.set_attributes(attributes)


def recorded_span() -> Span | None:
    """The current span, if there is one that is recorded."""
    if _recorder is None:
        return None
    span = trace.get_current_span()
    return span if span.is_recording() else None


class _CarriedSpan(NonRecordingSpan):
    """A span that is not recorded and whose identity is made when somebody asks: most calls end without."""

    def __init__(self, parent: Callable[[], str | None]) -> None:
        self._parent = parent
        self._identity: SpanContext | None = None

    def get_span_context(self) -> SpanContext:
        """A child of the parent, or the first of a new trace."""
        if self._identity is None:
            self._identity = _child_of(parse_traceparent(self._parent()))
        return self._identity


def carry_identity(parent: Callable[[], str | None]) -> None:
    """Carries a trace on that this process does not record, until the current task ends: the task must be the call's own.

    parent: gives the traceparent that came with the call, if any; asked at most once.
    """
    attach(trace.set_span_in_context(_CarriedSpan(parent), _NOTHING))


@contextmanager
def span_from(traceparent: str | None, name: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """A span that is current inside the block: child of `traceparent` if that is valid, else the first of a new trace."""
    parent = parse_traceparent(traceparent)
    span = start_span(name, parent, kind) or NonRecordingSpan(_child_of(parent))
    # An error that is the caller's own is no error of the call: who opens the span says how it ended.
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        yield span


def start_span(
    name: str,
    parent: SpanContext | None,
    kind: SpanKind,
    attributes: Attributes | None = None,
    *,
    span_id: int | None = None,
    start_ns: int | None = None,
) -> Span | None:
    """A span that is not current and that the caller ends; None when its trace is not recorded.

    parent: None begins a trace, which is sampled or not. span_id: chosen by the caller, > 0; None is random. start_ns: UTC; None is now.
    """
    if _recorder is None or (parent is not None and not parent.trace_flags.sampled):
        return None
    trace_id = None
    if parent is None and not _recorder.samples(trace_id := _fresh_trace_id(), name):
        return None
    context = trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()
    with _recorder.ids.chosen(trace_id, span_id):
        return _recorder.tracer.start_span(name, context, kind, attributes, start_time=start_ns)


def _child_of(parent: SpanContext | None) -> SpanContext:
    if parent is None:
        return _fresh_context()
    return SpanContext(parent.trace_id, _fresh_span_id(), is_remote=False, trace_flags=parent.trace_flags)


def _fresh_context() -> SpanContext:
    return SpanContext(_fresh_trace_id(), _fresh_span_id(), is_remote=False, trace_flags=TraceFlags(TraceFlags.DEFAULT))


def _fresh_trace_id() -> int:
    return _ids.getrandbits(128) or 1


def _fresh_span_id() -> int:
    return _ids.getrandbits(64) or 1
