"""Kafka record headers: what a record holds, where it came from, which trace it belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.runtime.errors import BadRecord

RecordHeaders = list[tuple[str, bytes]]
#: Topic, partition, offset of the record that this one was derived from.
SourcePosition = tuple[str, int, int]

_EVENTS = "signalbox.events.v1."
#: Bytes of a wrong name that are shown.
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of a record that we know; empty or None where absent."""

    schema: str = ""
    ce_type: str = ""
    ce_id: str = ""
    traceparent: str | None = None
    feed: str = ""
    source: SourcePosition | None = None


def record_headers(schema: str, ce_id: str, traceparent: str | None = None, source: SourcePosition | None = None, feed: str = "") -> RecordHeaders:
    """Headers of a record to produce.

    schema: protobuf message, full name or the name within signalbox.events.v1. ce_id: unique for the record among those of its topic.
    source: for derived records. feed: name of the feed and session, for ticks.
    """
    full = (schema if "." in schema else _EVENTS + schema).encode()
    headers = [("schema", full), ("ce_type", full), ("ce_id", ce_id.encode())]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    if feed:
        headers.append(("feed", feed.encode()))
    if source is not None:
        topic, partition, offset = source
        headers += [("src_topic", topic.encode()), ("src_partition", b"%d" % partition), ("src_offset", b"%d" % offset)]
    return headers


def header(headers: RecordHeaders, name: str) -> bytes:
    """The value of a header, the last one of this name; empty when there is none."""
    found = b""
    for key, value in headers:
        if key == name:
            found = value or b""
    return found


def check_schema(headers: RecordHeaders, expected: bytes) -> None:
    """Raises BadRecord unless a record says that its value is the message `expected`, a full name: the bytes of another one may well pass for it."""
    schema = header(headers, "schema")
    if schema != expected:
        raise BadRecord(f"schema: expected {expected.decode()}, was {schema[:_SHOWN].decode('utf-8', 'replace')!r}")


def read_headers(headers: Iterable[tuple[str, bytes | str | None]] | None) -> Headers:
    """The known headers among those of a record. Unknown ones are left out; a position that is not numbers is None."""
    found = {name: _text(value) for name, value in headers or ()}
    return Headers(
        schema=found.get("schema", ""),
        ce_type=found.get("ce_type", ""),
        ce_id=found.get("ce_id", ""),
        traceparent=found.get("traceparent") or None,
        feed=found.get("feed", ""),
        source=_position(found),
    )


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def _position(found: dict[str, str]) -> SourcePosition | None:
    topic, partition, offset = found.get("src_topic", ""), found.get("src_partition", ""), found.get("src_offset", "")
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        return None
    return topic, int(partition), int(offset)
