import pytest

from services.runtime.headers import header, read_headers, record_headers
from services.runtime.stream.records import InputRecord, derived_headers

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_derived_headers_carry_trace_and_position() -> None:
    record = InputRecord("market.ticks.v1", 2, 77, b"", [("traceparent", TRACE.encode()), ("schema", b"signalbox.events.v1.TickBatch")])
    headers = read_headers(derived_headers(record, "signalbox.events.v1.BarBatch"))
    assert headers.traceparent == TRACE
    assert headers.source == ("market.ticks.v1", 2, 77)
    assert headers.schema == "signalbox.events.v1.BarBatch"
    assert headers.ce_id == "market.ticks.v1/2/77/BarBatch"


def test_several_outputs_of_a_record_have_ids_of_their_own() -> None:
    record = InputRecord("in", 0, 1, b"", [])
    ids = {read_headers(derived_headers(record, "signalbox.events.v1.BarBatch", part)).ce_id for part in ("", "1m", "5m")}
    assert len(ids) == 3


def test_the_same_record_gives_the_same_headers() -> None:
    record = InputRecord("in", 0, 1, b"", [])
    assert derived_headers(record, "signalbox.events.v1.BarBatch") == derived_headers(record, "signalbox.events.v1.BarBatch")
    assert read_headers(derived_headers(record, "signalbox.events.v1.BarBatch")).traceparent is None


@pytest.mark.parametrize("trace", [b"", TRACE.encode(), b"\xff\xfe", b"caf\xc3\xa9"])
def test_the_headers_are_those_that_record_headers_makes(trace: bytes) -> None:
    record = InputRecord("in", 3, 12, b"", [("traceparent", b"an earlier one"), ("other", b"1"), ("traceparent", trace)])
    expected = record_headers("signalbox.events.v1.BarBatch", "in/3/12/BarBatch/7", read_headers(record.headers).traceparent, ("in", 3, 12))
    assert derived_headers(record, "signalbox.events.v1.BarBatch", "7") == expected


def test_a_trace_that_is_none_does_not_fill_the_outputs() -> None:
    record = InputRecord("in", 0, 1, b"", [("traceparent", b"0" * 257)])
    assert "traceparent" not in dict(derived_headers(record, "signalbox.events.v1.BarBatch"))


def test_the_last_header_of_a_name_counts() -> None:
    assert header([("a", b"1"), ("b", b"2"), ("a", b"3")], "a") == b"3"
    assert header([], "a") == b""
