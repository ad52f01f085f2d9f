"""What goes into and comes out of a processor of one partition."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from services.runtime.headers import header, read_headers, record_headers
from services.runtime.stream.state import Frozen
from services.runtime.wire import Memory

#: A traceparent has 55 bytes, those of later versions may have some more. What a sender puts there must not fill the outputs up to the broker's limit.
_MAX_TRACE_BYTES = 256


class Output(NamedTuple):
    """A record to be written. `partition` is always chosen by the processor (`partition_of`), never by the client library."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class InputRecord(NamedTuple):
    """A record as it was read."""

    topic: str
    partition: int
    offset: int
    value: bytes
    headers: list[tuple[str, bytes]]


class Processor(Protocol):
    """The state and the logic of ONE partition: no I/O, and deterministic in its inputs, `live` excepted.

    After a crash the same records are processed again from a restored state; their outputs must be the same bytes.
    """

    @property
    def state_version(self) -> int:
        """Version of the layout of the state, >= 0; a checkpoint of another version is refused."""

    def restore(self, state: bytes) -> None:
        """Take over the bytes of a frozen state. Called at most once, before any record. Any exception ends the process."""

    def begin_behind_cut(self, end: int) -> None:
        """Called in place of `restore`, when the first records of the log are gone. end: of the log at this moment; what lies behind it is new."""

    def freeze(self) -> Frozen:
        """The whole state. Called between records, on the loop's thread: it copies what will change, and the rest is done in another one."""

    def process(self, record: InputRecord) -> list[Output]:
        """Take one record; returns what it leads to.

        Raises BadRecord(reason) *before* anything is changed when the record cannot be used: it then goes to the dead-letter topic.
        Any other exception ends the process, and the record is processed again by the next one.
        """

    def live(self, now_ns: int) -> list[Output]:
        """Conflated outputs outside the contract (forming bars, snapshots). now_ns: UTC.

        Called after records and from a timer, at most once in `live_interval_ms`, left out while the broker is behind. Must be cheap when nothing changed.
        """


def derived_headers(record: InputRecord, schema: str, part: str = "") -> list[tuple[str, bytes]]:
    """Headers of a record that was made from `record`: its trace, its position, and an id that is the same in every run.

    schema: full message name. part: tells apart several outputs of one schema from one record.
    """
    full, name = _SCHEMAS[schema]
    ce_id = f"{record.topic}/{record.partition}/{record.offset}/{name}"
    trace = header(record.headers, "traceparent")
    if len(trace) > _MAX_TRACE_BYTES:
        trace = b""
    elif not trace.isascii():
        trace = trace.decode("utf-8", "replace").encode()
    # As record_headers makes them.
    return [
        ("schema", full),
        ("ce_type", full),
        ("ce_id", f"{ce_id}/{part}".encode() if part else ce_id.encode()),
        *((("traceparent", trace),) if trace else ()),
        ("src_topic", record.topic.encode()),
        ("src_partition", b"%d" % record.partition),
        ("src_offset", b"%d" % record.offset),
    ]


#: Of each schema the header's value and the name that is part of ids.
_SCHEMAS: Memory[str, tuple[bytes, str]] = Memory(lambda schema: (read_headers(record_headers(schema, "")).schema.encode(), schema.rpartition(".")[2]))
