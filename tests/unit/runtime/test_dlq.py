"""Dead letters keep the record and stop when everything is bad."""

from typing import Any

import pytest

from services.runtime.dlq import DeadLetters
from services.runtime.errors import TooManyDeadLetters
from services.runtime.kafka import MAX_RECORD_BYTES
from services.runtime.testing import ManualClock


class Recorder:
    """Stands for the producer: keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, dict[str, bytes]]] = []

    def produce(self, topic: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        self.sent.append((topic, value, dict(headers)))

    def poll(self, timeout: float) -> int:
        return 0


def letters(limit: int) -> tuple[DeadLetters, Recorder, ManualClock]:
    recorder, clock = Recorder(), ManualClock()
    producer: Any = recorder
    return DeadLetters(producer, limit, clock), recorder, clock


def test_the_bytes_the_position_and_the_reason_are_kept() -> None:
    dead, recorder, _ = letters(10)
    dead.send("market.ticks.v1", 3, 42, b"\x00junk", "not a TickBatch", headers=[("traceparent", b"00-x")])
    ((topic, value, headers),) = recorder.sent
    assert (topic, value) == ("market.ticks.v1.dlq", b"\x00junk")
    assert headers == {
        "traceparent": b"00-x",
        "dlq_reason": b"not a TickBatch",
        "dlq_topic": b"market.ticks.v1",
        "dlq_partition": b"3",
        "dlq_offset": b"42",
    }


def test_a_value_that_does_not_fit_is_cut_and_says_how_long_it_was() -> None:
    dead, recorder, _ = letters(10)
    for length in (MAX_RECORD_BYTES - 300, 9 << 20):
        dead.send("t", 0, 0, b"\xff" * length, "garbage", headers=[("schema", b"x")])
        _, value, headers = recorder.sent[-1]
        assert value == b"\xff" * (1 << 20)
        assert (headers["dlq_original_bytes"], headers["schema"], headers["dlq_reason"]) == (b"%d" % length, b"x", b"garbage")


def test_what_fits_with_all_headers_is_kept_whole() -> None:
    dead, recorder, _ = letters(10)
    value = b"\xff" * (MAX_RECORD_BYTES - (100 << 10))
    dead.send("t" * 249, 0, 2**63, value, "\uffff" * 9_000, headers=[("big", b"x" * (63 << 10))])
    _, kept, headers = recorder.sent[-1]
    assert kept == value
    assert "big" in headers
    assert len(kept) + sum(len(name) + len(each) for name, each in headers.items()) < MAX_RECORD_BYTES


def test_headers_that_do_not_fit_are_left_out_and_counted() -> None:
    dead, recorder, _ = letters(10)
    dead.send("t", 0, 0, b"junk", "bad", headers=[("big", b"x" * (9 << 20)), ("none", None)])  # type: ignore[list-item]
    _, value, headers = recorder.sent[-1]
    assert value == b"junk"
    assert headers.keys() == {"dlq_original_header_bytes", "dlq_reason", "dlq_topic", "dlq_partition", "dlq_offset"}
    assert int(headers["dlq_original_header_bytes"]) > 9 << 20


def test_over_the_limit_it_stops() -> None:
    dead, recorder, clock = letters(2)
    for _ in range(2):
        dead.send("t", 0, 0, b"", "bad")
    with pytest.raises(TooManyDeadLetters, match="more than 2 dead letters in a minute, the last: worse"):
        dead.send("t", 0, 0, b"", "worse")
    assert len(recorder.sent) == 2
    clock.advance(60.0)
    dead.send("t", 0, 0, b"", "bad")
    assert len(recorder.sent) == 3
