"""Records on their way to the broker, with what became of them."""

import asyncio
from functools import partial

from services.prices.feeds import metrics
from services.prices.feeds.errors import DeliveryFailed
from services.runtime.clock import Clock
from services.runtime.headers import RecordHeaders
from services.runtime.kafka import Publisher


class Outbox:
    """Sends records of one source and counts what the broker acknowledged. A full queue is waited for; nothing is dropped in silence.

    Once a record has failed, nothing more is sent: what comes after a hole would hide it.
    """

    def __init__(self, publisher: Publisher, clock: Clock, source: str) -> None:
        self._publisher, self._clock, self.source = publisher, clock, source
        self._open: set[asyncio.Future[int]] = set()
        self._failures = 0
        self._last_error = ""
        self._topic = ""
        self.rows_sent = 0
        """Rows handed over."""
        self.rows_acknowledged = 0
        """Rows that the broker has."""
        self.records_acknowledged = 0
        """Records that the broker has."""
        self.acknowledged_ns: int | None = None
        """Monotonic time of the last acknowledgement, None before the first."""

    @property
    def unacknowledged(self) -> int:
        """Records on their way."""
        return len(self._open)

    async def send(self, topic: str, partition: int, value: bytes, headers: RecordHeaders, rows: int) -> None:
        """Returns once the record is in the queue. rows: how many it holds. Raises DeliveryFailed when an earlier one failed."""
        self.check()
        self._topic = topic
        future = await self._publisher.publish(topic, partition, value, headers)
        self._open.add(future)
        future.add_done_callback(partial(self._settled, rows))
        self.rows_sent += rows
        metrics.ROWS_SENT.labels(self.source).inc(rows)

    async def flush(self) -> None:
        """Returns once every record is acknowledged. Raises DeliveryFailed when one was not."""
        while self._open:
            await asyncio.wait(set(self._open))
        self.check()

    def check(self) -> None:
        """Raises DeliveryFailed when a record was not acknowledged."""
        if self._failures:
            raise DeliveryFailed(self._topic, self._failures, self._last_error)

    def _settled(self, rows: int, future: "asyncio.Future[int]") -> None:
        self._open.discard(future)
        if future.cancelled() or (error := future.exception()) is not None:
            self._failures += 1
            self._last_error = "cancelled" if future.cancelled() else str(error)
            metrics.RECORDS_FAILED.labels(self.source).inc()
            return
        self.rows_acknowledged += rows
        self.records_acknowledged += 1
        self.acknowledged_ns = self._clock.monotonic_ns()
        metrics.ROWS_ACKNOWLEDGED.labels(self.source).inc(rows)
        metrics.RECORDS_ACKNOWLEDGED.labels(self.source).inc()
