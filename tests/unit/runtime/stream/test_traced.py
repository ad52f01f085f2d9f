"""Spans of a worker: whole, the same after a crash, and none where nothing is recorded."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from services.runtime.errors import BadRecord
from services.runtime.headers import read_headers
from services.runtime.stream.records import InputRecord, Output, derived_headers
from services.runtime.stream.state import Frozen
from services.runtime.stream.traced import TracedProcessor, traced
from services.runtime.telemetry import annotate
from tests.recording import recording

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
NOT_SAMPLED = SAMPLED[:-1] + "0"


class Copy:
    """Two outputs a record; live, one more of the last."""

    state_version = 7

    def __init__(self) -> None:
        self.state = b""
        self.last: InputRecord | None = None

    def restore(self, state: bytes) -> None:
        self.state = state

    def begin_behind_cut(self, end: int) -> None:
        self.state = b"cut %d" % end

    def freeze(self) -> Frozen:
        state = self.state
        return Frozen(len(state), lambda: state)

    def process(self, record: InputRecord) -> list[Output]:
        if record.value == b"bad":
            raise BadRecord("it is bad")
        self.last = record
        annotate({"rows": len(record.value)})
        return [Output("out", record.partition, None, record.value, derived_headers(record, "X", part)) for part in ("", "1")]

    def live(self, now_ns: int) -> list[Output]:
        return [] if self.last is None else [Output("live", 0, None, b"", derived_headers(self.last, "X", str(now_ns)))]


def record(traceparent: str | None, offset: int = 5, value: bytes = b"abc") -> InputRecord:
    headers = [("schema", b"X")] + ([("traceparent", traceparent.encode())] if traceparent else [])
    return InputRecord("in", 2, offset, value, headers)


def traceparents(outputs: list[Output]) -> list[str | None]:
    return [read_headers(output.headers).traceparent for output in outputs]


def ids(spans: list[ReadableSpan]) -> dict[str, tuple[str, ...]]:
    """Span ids by name."""
    found: dict[str, tuple[str, ...]] = {}
    for span in spans:
        assert span.context is not None
        found[span.name] = (*found.get(span.name, ()), f"{span.context.span_id:016x}")
    return found


def test_where_nothing_is_recorded_the_processor_is_used_as_it_is() -> None:
    processor = Copy()
    assert traced(processor) is processor


def test_everything_else_passes_through() -> None:
    with recording():
        processor = traced(Copy())
    assert isinstance(processor, TracedProcessor)
    processor.restore(b"state")
    assert (processor.freeze().pack(), processor.state_version) == (b"state", 7)
    processor.begin_behind_cut(3)
    assert processor.freeze().pack() == b"cut 3"


def test_each_output_is_a_child_of_its_records_processing() -> None:
    with recording() as spans:
        outputs = traced(Copy()).process(record(SAMPLED))
    (first, second), (processing,) = ids(spans)["create out"], ids(spans)["process in"]
    assert traceparents(outputs) == [f"00-{TRACE_ID}-{first}-01", f"00-{TRACE_ID}-{second}-01"]
    assert {f"{span.parent.span_id:016x}" for span in spans if span.parent is not None} == {processing, "00f067aa0ba902b7"}
    by_name = {span.name: span for span in spans}
    attributes = by_name["process in"].attributes
    assert attributes is not None
    assert (attributes["messaging.kafka.offset"], attributes["messaging.destination.partition.id"], attributes["rows"]) == (5, "2", 3)


def test_after_a_crash_the_same_record_leads_to_the_same_bytes() -> None:
    with recording():
        first = traced(Copy()).process(record(SAMPLED))
    with recording():
        again = traced(Copy()).process(record(SAMPLED))
        other = traced(Copy()).process(record(SAMPLED, offset=6))
    assert first == again
    assert len({*traceparents(first), *traceparents(other)}) == 4


@pytest.mark.parametrize("traceparent", [None, "", "junk1", NOT_SAMPLED])
def test_a_record_whose_trace_is_not_recorded_is_as_without_tracing(traceparent: str | None) -> None:
    with recording() as spans:
        outputs = traced(Copy()).process(record(traceparent))
    assert outputs == Copy().process(record(traceparent))
    assert spans == []


def test_only_the_traceparent_of_an_output_is_another() -> None:
    with recording():
        (output, _) = traced(Copy()).process(record(SAMPLED))
    plain, _ = Copy().process(record(SAMPLED))
    assert output._replace(headers=[]) == plain._replace(headers=[])
    assert [item for item in output.headers if item[0] != "traceparent"] == [item for item in plain.headers if item[0] != "traceparent"]


def test_what_is_conflated_belongs_to_the_record_before_it() -> None:
    with recording() as spans:
        processor = traced(Copy())
        assert processor.live(1) == []
        processor.process(record(SAMPLED))
        (output,) = processor.live(2)
        processor.process(record(NOT_SAMPLED, offset=6))
        (unrecorded,) = processor.live(3)
    found = ids(spans)
    (live,) = (span for span in spans if span.name == "create live")
    assert live.parent is not None
    assert f"{live.parent.span_id:016x}" == found["process in"][0]
    assert traceparents([output]) == [f"00-{TRACE_ID}-{found['create live'][0]}-01"]
    assert traceparents([unrecorded]) == [NOT_SAMPLED]


def test_a_bad_record_ends_its_span_and_is_raised() -> None:
    with recording() as spans, pytest.raises(BadRecord):
        traced(Copy()).process(record(SAMPLED, value=b"bad"))
    assert [(span.name, span.status.is_ok) for span in spans] == [("process in", False)]
