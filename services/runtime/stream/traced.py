"""A processor whose records' spans are recorded. Used only where tracing is on; the processor inside knows nothing of it."""

from __future__ import annotations

from opentelemetry.trace import Span, use_span

from services.runtime import record_spans
from services.runtime.stream.records import InputRecord, Output, Processor
from services.runtime.stream.state import Frozen
from services.runtime.telemetry import format_traceparent, is_recording


def traced(processor: Processor) -> Processor:
    """The processor, with spans if this process records any, and as it is if not."""
    return TracedProcessor(processor) if is_recording() else processor


class TracedProcessor:
    """A span around `process` and one for each output, of records whose trace is recorded; everything else passes through.

    The headers that it writes follow from the record alone, so they are the same bytes after a crash.
    """

    def __init__(self, processor: Processor) -> None:
        self._inner = processor

    @property
    def state_version(self) -> int:
        """As Processor says."""
        return self._inner.state_version

    def restore(self, state: bytes) -> None:
        """As Processor says."""
        self._inner.restore(state)

    def begin_behind_cut(self, end: int) -> None:
        """As Processor says."""
        self._inner.begin_behind_cut(end)

    def freeze(self) -> Frozen:
        """As Processor says."""
        return self._inner.freeze()

    def process(self, record: InputRecord) -> list[Output]:
        """As Processor says. The processor gets the record with the traceparent of its processing, and hands it on as it hands on any."""
        parent = record_spans.sampled_parent(record.headers)
        if parent is None:
            return self._inner.process(record)
        span = record_spans.start_processing(parent, record.topic, record.partition, record.offset, len(record.value))
        return self._inner.process(record) if span is None else self._recorded(record, span)

    def live(self, now_ns: int) -> list[Output]:
        """As Processor says. What is conflated belongs to the record that was processed last."""
        return [_created(output) for output in self._inner.live(now_ns)]

    def _recorded(self, record: InputRecord, span: Span) -> list[Output]:
        with use_span(span, end_on_exit=True):
            headers = record_spans.with_traceparent(record.headers, format_traceparent(span.get_span_context()))
            outputs = self._inner.process(record._replace(headers=headers))
            return [_created(output, number) for number, output in enumerate(outputs)]


def _created(output: Output, number: int | None = None) -> Output:
    parent = record_spans.sampled_parent(output.headers)
    if parent is None:
        return output
    traceparent = record_spans.create_record(parent, output.topic, output.partition, len(output.value), number)
    return output._replace(headers=record_spans.with_traceparent(output.headers, traceparent))
