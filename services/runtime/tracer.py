"""The OpenTelemetry SDK as we set it up. Imported only where spans are recorded."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased

from services.runtime.tracing_settings import TracingSettings


def otlp_exporter() -> SpanExporter:
    """OTLP over gRPC; the exporter itself reads OTEL_EXPORTER_OTLP_*."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


class ChosenIds(RandomIdGenerator):
    """Random ids, except where the caller has chosen them: the SDK has no other door for that."""

    def __init__(self) -> None:
        self._chosen = threading.local()

    @contextmanager
    def chosen(self, trace_id: int | None, span_id: int | None) -> Iterator[None]:
        """For the span that is started inside the block, on this thread. None is random."""
        self._chosen.trace_id, self._chosen.span_id = trace_id, span_id
        try:
            yield
        finally:
            self._chosen.trace_id = self._chosen.span_id = None

    def generate_trace_id(self) -> int:
        """As IdGenerator says."""
        return getattr(self._chosen, "trace_id", None) or super().generate_trace_id()

    def generate_span_id(self) -> int:
        """As IdGenerator says."""
        return getattr(self._chosen, "span_id", None) or super().generate_span_id()


class Recorder:
    """What records the spans of one process and sends them, in batches and from a thread of its own."""

    def __init__(self, process: str, exporter: SpanExporter) -> None:
        self.ids = ChosenIds()
        self._sampler = ParentBased(TraceIdRatioBased(TracingSettings().sampling_ratio))
        resource = Resource.create({"service.namespace": "signalbox", "service.name": process, "process.pid": os.getpid()})
        self._provider = TracerProvider(self._sampler, resource, id_generator=self.ids)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("signalbox")

    def samples(self, trace_id: int, name: str) -> bool:
        """Whether a trace that begins here is recorded."""
        return self._sampler.should_sample(Context(), trace_id, name).decision is Decision.RECORD_AND_SAMPLE

    def shutdown(self) -> None:
        """Sends what waits and ends the thread."""
        self._provider.shutdown()
