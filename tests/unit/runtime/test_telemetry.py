"""Trace context is carried, and begins anew where there is none."""

import asyncio
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from services.runtime import telemetry
from services.runtime.record_spans import sending
from services.runtime.telemetry import (
    annotate,
    carry_identity,
    configure_tracing,
    current_trace_id,
    current_traceparent,
    is_sampled,
    is_traceparent,
    new_traceparent,
    span_from,
)
from services.runtime.tracing_settings import TracingSettings
from tests.recording import recording

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


def test_nobody_records_a_trace_that_begins_where_tracing_is_off() -> None:
    assert not is_sampled(new_traceparent())
    with span_from(None, "call"):
        assert not is_sampled(current_traceparent())
    with sending("topic", 0, rows=1, symbols=1) as traceparent:
        assert is_traceparent(traceparent)
        assert not is_sampled(traceparent)


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


def test_with_an_exporter_spans_are_recorded() -> None:
    with recording("demo") as spans, span_from(PARENT, "call"):
        inside = current_traceparent()
    (span,) = spans
    assert span.name == "call"
    assert span.context is not None
    assert telemetry.format_traceparent(span.context) == inside
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert span.resource.attributes["service.name"] == "demo"


def test_a_root_is_sampled_as_the_ratio_says_and_its_children_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    decided = []
    with recording("demo", sampler=None) as spans:
        for _ in range(200):
            with span_from(None, "root"):
                root = current_traceparent()
                decided.append(is_sampled(root))
                with span_from(root, "child"):
                    assert is_sampled(current_traceparent()) == decided[-1]
    assert 50 < sum(decided) < 150
    assert len(spans) == 2 * sum(decided)


def test_what_comes_sampled_or_not_stays_so_whatever_the_ratio() -> None:
    with recording("demo", sampler="always_off") as spans, span_from(PARENT, "recorded"):
        pass
    assert [span.name for span in spans] == ["recorded"]
    with recording("demo") as spans, span_from(PARENT[:-2] + "00", "not recorded"):
        annotate({"a": 1})
    assert spans == []


def test_a_batch_is_a_trace_of_its_own_or_a_part_of_the_call_that_sends_it() -> None:
    with recording("demo") as spans:
        with sending("topic", 3, rows=7, symbols=2) as first, sending("topic", 3, rows=7, symbols=2) as second:
            assert first.split("-")[1] != second.split("-")[1]
        with span_from(PARENT, "call"), sending("topic", 3, rows=7, symbols=2) as third:
            assert third.split("-")[1] == PARENT.split("-")[1]
    assert spans[0].attributes is not None
    assert dict(spans[0].attributes) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "topic",
        "messaging.destination.partition.id": "3",
        "signalbox.rows": 7,
        "signalbox.symbols": 2,
    }


def test_attributes_go_to_the_current_span() -> None:
    with recording("demo") as spans, span_from(PARENT, "call"):
        annotate({"rows": 3})
    assert spans[0].attributes == {"rows": 3}


@pytest.mark.parametrize(
    ("sampler", "arg", "ratio"), [("", "", 0.01), ("", "0.2", 0.2), ("always_on", "0.2", 1.0), ("parentbased_always_off", "", 0.0), ("traceidratio", "1", 1.0)]
)
def test_the_standards_variables_are_understood(sampler: str, arg: str, ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", arg)
    assert TracingSettings().sampling_ratio == ratio


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ],
)
def test_wrong_variables_are_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name):
        TracingSettings()


async def test_a_carried_identity_is_made_when_it_is_asked_for_and_ends_with_its_task() -> None:
    asked: list[str] = []

    def parent() -> str:
        asked.append(PARENT)
        return PARENT

    async def call() -> tuple[str | None, str | None]:
        carry_identity(parent)
        assert asked == []
        return current_traceparent(), current_traceparent()

    first, second = await asyncio.create_task(call())
    assert first is not None
    assert (first[3:35], first[-2:]) == (PARENT[3:35], PARENT[-2:])
    assert first != PARENT
    assert (second, asked) == (first, [PARENT])
    assert current_traceparent() is None


async def test_a_carried_identity_without_a_parent_begins_a_trace() -> None:
    async def call() -> str | None:
        carry_identity(lambda: None)
        return current_traceparent()

    assert is_traceparent(await asyncio.create_task(call()))


def test_a_traceparent_with_a_line_break_is_none() -> None:
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert telemetry.parse_traceparent(good) is not None
    assert telemetry.parse_traceparent(good + "\n") is None
