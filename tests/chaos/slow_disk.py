"""A broker whose disk is slow: of each quarter of a second it gets a few milliseconds, so that every acknowledgement takes that long."""

from __future__ import annotations

import os
import signal
import threading
import time

from confluent_kafka import Producer

from services.runtime.kafka import make_producer

#: One stop and what lies between two of them, seconds. Requests are answered between stops only, and each holds up those behind it.
STOPPED_SECONDS, RUNNING_SECONDS = 0.25, 0.002


class SlowDisk:
    """Use as a context manager. pid: of the broker. Whatever happens within, it runs on afterwards."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> SlowDisk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(RUNNING_SECONDS):
            os.kill(self._pid, signal.SIGSTOP)
            self._over.wait(STOPPED_SECONDS)
            os.kill(self._pid, signal.SIGCONT)


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
