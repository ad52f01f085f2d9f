"""Spans of Kafka records, named and attributed as OpenTelemetry's conventions for messaging say.

`send TOPIC` where a record begins a trace, `process TOPIC` where one is read, `create TOPIC` for each record that this leads to. A span's
traceparent is what the record carries, so the next process's span is its child. See docs/adr/0007-span-ids-from-positions.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span, SpanContext, SpanKind

from services.runtime.headers import RecordHeaders
from services.runtime.telemetry import (
    AttributeValue,
    current_traceparent,
    format_traceparent,
    is_recording,
    is_sampled,
    new_traceparent,
    parse_traceparent,
    start_span,
)


@contextmanager
def sending(topic: str, partition: int, *, rows: int, symbols: int) -> Iterator[str]:
    """Around the making and sending of a record of ours that has no record before it; gives the traceparent it must carry.

    A child of the current span; outside any a new trace begins, recorded or not as the sampler says.
    """
    current = current_traceparent()
    if not is_recording():
        yield current or new_traceparent()
        return
    attributes = {**record_attributes("send", "send", topic, partition), "signalbox.rows": rows, "signalbox.symbols": symbols}
    span = start_span(f"send {topic}", parse_traceparent(current), SpanKind.PRODUCER, attributes)
    if span is None:
        yield current or new_traceparent()
        return
    try:
        yield format_traceparent(span.get_span_context())
    finally:
        span.end()


def sampled_parent(headers: RecordHeaders) -> SpanContext | None:
    """The context in a record's headers, if its trace is recorded."""
    for name, value in headers:
        if name == "traceparent":
            text = value.decode("ascii", "replace")
            return parse_traceparent(text) if is_sampled(text) else None
    return None


def start_processing(parent: SpanContext, topic: str, partition: int, offset: int, size: int) -> Span | None:
    """The span of a record's processing. Its id follows from the record's place, so that after a crash it is the same again. size: bytes."""
    attributes = {**record_attributes("process", "process", topic, partition), "messaging.kafka.offset": offset, "messaging.message.body.size": size}
    return start_span(f"process {topic}", parent, SpanKind.CONSUMER, attributes, span_id=span_id_of(parent, topic, partition, offset))


def create_record(parent: SpanContext, topic: str, partition: int, size: int, number: int | None = None) -> str:
    """The traceparent of a record that follows from `parent`'s span; its own span is a point in time.

    number: of the record among those of its parent, from which its id follows; None for records that are not repeated after a crash. size: bytes.
    """
    attributes = {**record_attributes("create", "create", topic, partition), "messaging.message.body.size": size}
    span_id = None if number is None else span_id_of(parent, topic, partition, number)
    span = start_span(f"create {topic}", parent, SpanKind.PRODUCER, attributes, span_id=span_id)
    if span is None:
        return format_traceparent(parent)
    span.end()
    return format_traceparent(span.get_span_context())


def with_traceparent(headers: RecordHeaders, traceparent: str) -> RecordHeaders:
    """The headers with another traceparent in its place."""
    return [(name, traceparent.encode() if name == "traceparent" else value) for name, value in headers]


def span_id_of(parent: SpanContext, topic: str, partition: int, number: int) -> int:
    """A span's id made from what it belongs to: the same in every run, and different for different places."""
    place = f"{parent.trace_id:032x}{parent.span_id:016x}{topic}/{partition}/{number}".encode()
    return int.from_bytes(hashlib.blake2b(place, digest_size=8).digest(), "big") or 1


def record_attributes(name: str, kind: str, topic: str, partition: int) -> dict[str, AttributeValue]:
    """What each span of a record says. name: of the operation; kind: of operation: send, create or process."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
    }
