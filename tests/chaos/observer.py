"""Reads what the chain writes while it is under faults: every row once, repeats compared, and when something new last came."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from confluent_kafka import Consumer, TopicPartition

from services.runtime.topics import BARS, INDICATORS, SIGNALS
from tests.chaos.rows import Identity, Rows, rows_of

#: Header of records that a test puts into an output topic; they are none of the chain's.
TEST_HEADER = "test"

#: Topic and partition.
Place = tuple[str, int]


@dataclass
class Seen:
    """Everything read so far."""

    rows: Rows = field(default_factory=dict)
    repeats: int = 0
    """Rows that came again, the same."""
    different: list[Identity] = field(default_factory=list)
    """Rows that came again and were not the same. Must stay empty."""


class Observer:
    """A thread of its own; survives a broker that is killed. Use as a context manager."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self.seen = Seen()
        self._partitions = partitions
        self._lock = threading.Lock()
        self._since = 0.0
        self._firsts: dict[Place, float] = {}
        self._next: dict[Place, int] = {}
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "observer",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 10,
                "fetch.wait.max.ms": 20,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(topic.name, partition, 0) for topic in (BARS, INDICATORS, SIGNALS) for partition in range(partitions)])
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def check(self) -> None:
        """Raises what went wrong in the thread, and AssertionError for rows that changed."""
        if self._failure is not None:
            raise self._failure
        assert not self.seen.different, f"rows came again and were different: {self.seen.different[:5]}"

    def count(self) -> int:
        """Distinct rows so far."""
        with self._lock:
            return len(self.seen.rows)

    def resumed_at(self, topic: str, since: float) -> float | None:
        """When the last of the topic's partitions gave a new row that was made after `since`; None while one has not. Times as time.time() gives them."""
        with self._lock:
            firsts = [self._firsts.get((topic, partition)) for partition in range(self._partitions)]
        times = [first for first in firsts if first is not None]
        return max(times) if len(times) == self._partitions and self._since == since else None

    def watch(self, since: float) -> None:
        """From now on note, for each partition, the first new row that was made after `since`."""
        with self._lock:
            self._since, self._firsts = since, dict[Place, float]()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                for message in self._consumer.consume(500, 0.02):
                    if message.error() is None:
                        place = (message.topic() or "", message.partition() or 0)
                        ours = TEST_HEADER not in dict(message.headers() or [])
                        self._add(place, message.offset() or 0, (message.value() or b"") if ours else b"", message.timestamp()[1] / 1000)
        except BaseException as error:  # noqa: BLE001 - raised again by check()
            self._failure = error

    def _add(self, place: Place, offset: int, value: bytes, made: float) -> None:
        # A consumer whose broker was killed may be sent records again.
        assert offset <= self._next.get(place, 0), f"{place}: expected offset {self._next.get(place, 0)}, was {offset}"
        if offset < self._next.get(place, 0):
            return
        self._next[place] = offset + 1
        with self._lock:
            before = len(self.seen.rows)
            for identity, row in rows_of(place[0], value) if value else ():
                known = self.seen.rows.setdefault(identity, row)
                if known is not row:
                    self.seen.repeats += 1
                    if known != row:
                        self.seen.different.append(identity)
            if len(self.seen.rows) > before and made > self._since:
                self._firsts.setdefault(place, time.time())
