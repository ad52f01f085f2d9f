"""Record headers survive the way through Kafka."""

from hypothesis import given
from hypothesis import strategies as st

from services.runtime.headers import Headers, read_headers, record_headers

_TEXT = st.text(max_size=20)


@given(_TEXT, st.one_of(st.none(), st.text(min_size=1)), st.one_of(st.none(), st.tuples(st.text(min_size=1), st.integers(0), st.integers(0))), _TEXT)
def test_what_is_written_is_read(ce_id: str, traceparent: str | None, source: tuple[str, int, int] | None, feed: str) -> None:
    headers = read_headers(record_headers("TickBatch", ce_id, traceparent, source, feed))
    name = "signalbox.events.v1.TickBatch"
    assert headers == Headers(name, name, ce_id, traceparent, feed, source)


def test_a_full_schema_name_is_kept() -> None:
    assert read_headers(record_headers("other.v1.Thing", "1")).schema == "other.v1.Thing"


def test_unknown_and_broken_headers_do_no_harm() -> None:
    headers = read_headers([("x", b"\xff\xfe"), ("schema", None), ("src_topic", b"t"), ("src_partition", b"minus"), ("src_offset", b"1"), ("ce_id", "text")])
    assert headers == Headers(ce_id="text")


def test_no_headers() -> None:
    assert read_headers(None) == Headers()
