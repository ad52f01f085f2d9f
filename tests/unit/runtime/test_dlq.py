"""Dead letters keep the record and stop when everything is bad."""

from typing import Any

import pytest

from services.runtime.dlq import DeadLetters
from services.runtime.errors import TooManyDeadLetters
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
