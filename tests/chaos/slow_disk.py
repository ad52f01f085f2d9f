"""A broker whose disk is slow: of each quarter of a second it gets a few milliseconds, so that every acknowledgement takes that long."""

from __future__ import annotations

import time

from confluent_kafka import Producer

from services.runtime.kafka import make_producer
from tests.processes import Slowed

#: One stop and what lies between two of them, seconds. Requests are answered between stops only, and each holds up those behind it.
STOPPED_SECONDS, RUNNING_SECONDS = 0.25, 0.002


class SlowDisk(Slowed):
    """Use as a context manager. pid: of the broker."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid, STOPPED_SECONDS, RUNNING_SECONDS)


def seconds_of_acknowledgement(bootstrap: str, topic: str, seconds: float) -> float:
    """How long the broker takes for a record, on the average of those sent one by one for so long. They are empty; send them where nobody reads."""
    producer: Producer = make_producer(bootstrap)
    producer.produce(topic, b"")
    assert producer.flush(60) == 0
    began, count = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        producer.produce(topic, b"")
        assert producer.flush(60) == 0
        count += 1
    return (time.monotonic() - began) / count
