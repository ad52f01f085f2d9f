"""The spans that the code under test records, without a collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.runtime.telemetry import configure_tracing, end_tracing


@contextmanager
def recording(process: str = "tests", sampler: str | None = "always_on") -> Iterator[list[ReadableSpan]]:
    """Tracing is on inside the block; the list is filled when it ends. sampler: None leaves the environment's."""
    spans: list[ReadableSpan] = []
    exporter = InMemorySpanExporter()
    with pytest.MonkeyPatch.context() as patch:
        if sampler is not None:
            patch.setenv("OTEL_TRACES_SAMPLER", sampler)
        configure_tracing(process, exporter)
    try:
        yield spans
    finally:
        end_tracing()
        spans += exporter.get_finished_spans()
