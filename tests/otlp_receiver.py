"""A receiver of traces: what a collector is to the processes, on the real wire (OTLP over gRPC)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

SPAN_KINDS = trace_pb2.Span.SpanKind

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it came. Ids are hexadecimal; parent_id is empty for the first of a trace."""

    process: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Value]
    links: tuple[tuple[str, str], ...]
    """Trace id and span id of each."""


class Receiver(service.TraceServiceServicer):
    """Keeps every span it is sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[ReceivedSpan] = []

    def Export(self, request: wire.ExportTraceServiceRequest, context: grpc.ServicerContext) -> wire.ExportTraceServiceResponse:
        found = [span for resource in request.resource_spans for span in _spans(resource)]
        with self._lock:
            self._spans += found
        return wire.ExportTraceServiceResponse()

    def spans(self) -> list[ReceivedSpan]:
        """All there are so far, in the order they came."""
        with self._lock:
            return list(self._spans)

    def trace(self, trace_id: str) -> dict[str, ReceivedSpan]:
        """The spans of one trace by their ids."""
        return {span.span_id: span for span in self.spans() if span.trace_id == trace_id}


def _spans(resource: trace_pb2.ResourceSpans) -> Iterator[ReceivedSpan]:
    about = {item.key: _value(item.value) for item in resource.resource.attributes}
    for span in (span for scope in resource.scope_spans for span in scope.spans):
        yield ReceivedSpan(
            process=str(about.get("service.name", "")),
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            kind=SPAN_KINDS.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            attributes={item.key: _value(item.value) for item in span.attributes},
            links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        )


def _value(value: AnyValue) -> Value:
    which = value.WhichOneof("value")
    found: Value = getattr(value, which) if which in ("string_value", "int_value", "double_value", "bool_value") else str(value)
    return found


@contextmanager
def otlp_receiver() -> Iterator[tuple[Receiver, str]]:
    """The receiver and its address, as OTEL_EXPORTER_OTLP_ENDPOINT has it."""
    receiver, server = Receiver(), grpc.server(ThreadPoolExecutor(4))
    service.add_TraceServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield receiver, f"http://127.0.0.1:{port}"
    finally:
        server.stop(None)


if __name__ == "__main__":
    with otlp_receiver() as (_, address):
        print(address, flush=True)
        sys.stdin.read()
