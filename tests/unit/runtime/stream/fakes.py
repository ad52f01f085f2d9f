"""A producer and events for tests of one partition, without a broker."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from services.runtime.headers import RecordHeaders
from services.runtime.stream.records import InputRecord, Output
from services.runtime.stream.state import Frozen


class Sent(NamedTuple):
    """A record that was produced."""

    number: int
    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: RecordHeaders


class FakeMessage:
    """What a delivery callback gets."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent

    def topic(self) -> str:
        return self._sent.topic

    def partition(self) -> int:
        return self._sent.partition


class FakeProducer:
    """Keeps records until `deliver` is called. limit: of the queue, as librdkafka's."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.delivered: list[Sent] = []
        self._queue: list[tuple[Sent, Callable[[Any, Any], None]]] = []
        self._limit = limit
        self._numbers = itertools.count()
        self.room_after_polls = 0

    def produce(self, topic: str, *, partition: int, key: bytes | None, value: bytes, headers: Any, on_delivery: Callable[[Any, Any], None]) -> None:
        if len(self._queue) >= self._limit:
            raise BufferError("full")
        self._queue.append((Sent(next(self._numbers), topic, partition, key, value, headers), on_delivery))

    def deliver(self, count: int = 1_000_000, *, topic: str | None = None, error: object = None, report: bool = True) -> int:
        """The broker takes the oldest records, of one topic or of all. report: whether the answers arrive."""
        batch = [item for item in self._queue if topic in (None, item[0].topic)][:count]
        self._queue = [item for item in self._queue if item not in batch]
        for sent, callback in batch:
            if error is None:
                self.delivered.append(sent)
            if report:
                callback(error, FakeMessage(sent))
        return len(batch)

    def poll(self, timeout: float) -> int:
        if self.room_after_polls:
            self.room_after_polls -= 1
            if not self.room_after_polls:
                return self.deliver()
        return 0

    def flush(self, timeout: float) -> int:
        return len(self._queue)

    def __len__(self) -> int:
        return len(self._queue)


class FakeEvent:
    """An event that writes its offset down when it is acknowledged."""

    def __init__(self, offset: int, acked: list[int]) -> None:
        self._offset = offset
        self._acked = acked

    def ack(self) -> bool:
        self._acked.append(self._offset)
        return True


class Summing:
    """Adds up the values; each output holds the sum so far."""

    state_version = 1

    def __init__(self) -> None:
        self.total = 0
        self.live_calls: list[int] = []

    def restore(self, state: bytes) -> None:
        self.total = int(state)

    def begin_behind_cut(self, end: int) -> None:
        pass

    def freeze(self) -> Frozen:
        state = b"%d" % self.total
        return Frozen(len(state), lambda: state)

    def process(self, record: InputRecord) -> list[Output]:
        self.total += int(record.value)
        return [Output("out", record.partition, None, b"%d %d" % (record.offset, self.total), [])]

    def live(self, now_ns: int) -> list[Output]:
        self.live_calls.append(now_ns)
        return [Output("live", 0, None, b"%d" % self.total, [])]
