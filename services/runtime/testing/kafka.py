"""A Publisher in memory. tests/conformance holds it to what the one on Kafka does."""

import asyncio
from collections import defaultdict
from typing import NamedTuple

from services.runtime.headers import RecordHeaders
from services.runtime.kafka import PublishFailed


class Published(NamedTuple):
    """One record that was taken."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: RecordHeaders


class MemoryPublisher:
    """Keeps records in lists by topic and partition.

    It can be told to be `away` (records fail) and to be `held` (nothing is acknowledged until `release`). capacity: records not yet acknowledged
    that fit in its queue; then `publish` waits.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self.records: list[Published] = []
        """What was acknowledged, in order."""
        self.away = False
        """While true every record fails."""
        self.held = False
        """While true nothing is acknowledged."""
        self._capacity = capacity
        self._queue: list[tuple[Published, asyncio.Future[int]]] = []
        self._ends: dict[tuple[str, int], int] = defaultdict(int)
        self._room = asyncio.Event()

    async def publish(self, topic: str, partition: int, value: bytes, headers: RecordHeaders, key: bytes | None = None) -> "asyncio.Future[int]":
        """As Publisher says."""
        while len(self._queue) >= self._capacity:
            self._room.clear()
            await self._room.wait()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append((Published(topic, partition, -1, key, value, list(headers)), future))
        asyncio.get_running_loop().call_soon(self._settle)
        return future

    @property
    def queued(self) -> int:
        """Records that are not yet acknowledged."""
        return len(self._queue)

    def release(self) -> None:
        """Ends the holding: what waits is acknowledged, or fails when away."""
        self.held = False
        self._settle()

    def of(self, topic: str, partition: int | None = None) -> list[Published]:
        """Acknowledged records of a topic, or of one of its partitions, in order."""
        return [record for record in self.records if record.topic == topic and partition in {None, record.partition}]

    def _settle(self) -> None:
        if self.held:
            return
        queue, self._queue = self._queue, []
        for record, future in queue:
            self._finish(record, future)
        self._room.set()

    def _finish(self, record: Published, future: "asyncio.Future[int]") -> None:
        if self.away:
            if not future.done():
                future.set_exception(PublishFailed(record.topic, "the broker is away"))
            return
        offset = self._ends[record.topic, record.partition]
        self._ends[record.topic, record.partition] = offset + 1
        self.records.append(record._replace(offset=offset))
        if not future.done():
            future.set_result(offset)
