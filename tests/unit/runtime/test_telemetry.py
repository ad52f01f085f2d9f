"""Trace context is carried, and begins anew where there is none."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.runtime import telemetry
from services.runtime.telemetry import configure_tracing, current_trace_id, current_traceparent, is_traceparent, new_traceparent, span_from

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def tracing_off() -> Iterator[None]:
    yield
    configure_tracing("tests")


def test_outside_a_span_there_is_nothing() -> None:
    assert current_traceparent() is None
    assert current_trace_id() is None


def test_a_new_traceparent_is_valid_and_new() -> None:
    assert is_traceparent(new_traceparent())
    assert new_traceparent() != new_traceparent()


@pytest.mark.parametrize(
    "text", [None, "", "junk", PARENT[:-1], PARENT.upper(), "ff" + PARENT[2:], f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{'1' * 32}-{'0' * 16}-01"]
)
def test_a_malformed_parent_begins_a_new_trace(text: str | None) -> None:
    assert not is_traceparent(text)
    with span_from(text, "call"):
        assert is_traceparent(current_traceparent())


def test_a_child_keeps_the_trace_and_has_its_own_span() -> None:
    with span_from(PARENT, "outer"):
        outer = current_traceparent()
        assert outer is not None
        assert outer.split("-")[1] == PARENT.split("-")[1] == current_trace_id()
        assert outer.split("-")[2] != PARENT.split("-")[2]
        with span_from(outer, "inner"):
            assert current_traceparent() != outer
        assert current_traceparent() == outer
    assert current_traceparent() is None


def test_an_unsampled_trace_stays_unsampled() -> None:
    with span_from(PARENT[:-2] + "00", "call"):
        assert (current_traceparent() or "").endswith("-00")


def test_with_an_exporter_spans_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    monkeypatch.setattr("opentelemetry.sdk.trace.export.BatchSpanProcessor", SimpleSpanProcessor)
    telemetry.configure_tracing("demo", exporter)
    with span_from(PARENT, "call"):
        inside = current_traceparent()
    (span,) = exporter.get_finished_spans()
    assert span.name == "call"
    assert span.context is not None
    assert telemetry.format_traceparent(span.context) == inside
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert span.resource.attributes["service.name"] == "demo"
