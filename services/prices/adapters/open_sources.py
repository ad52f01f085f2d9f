"""Kafka: which sources this replica has open, kept so that its next life can end what a kill left open."""

import asyncio
import os

import numpy as np

from services.runtime.columns import TickColumns, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.kafka import Publisher, Record, TopicReader
from services.runtime.logging import get_logger
from services.runtime.topics import OPEN_SOURCES, TICKS

_log = get_logger("sources")


class KafkaOpenSources:
    """OpenSources on prices.sources.v1: for each source and partition the record that ends it there, to be sent by whoever starts after a kill.

    replica: name of this process among those of its kind; what another one has open is not this one's to end.
    """

    def __init__(self, publisher: Publisher, replica: str) -> None:
        self._publisher, self._replica = publisher, replica

    async def opened(self, source: str, source_kind: int, partition: int) -> "asyncio.Future[int]":
        """As OpenSources says."""
        return await self._put(source, partition, encode_ticks(_end_of(source, source_kind)))

    async def ended(self, source: str, partition: int) -> None:
        """As OpenSources says."""
        # When it does not come through the source is ended once more at the next start, which changes nothing.
        (await self._put(source, partition, b"")).add_done_callback(_forgive)

    async def end_left_open(self, bootstrap: str) -> None:
        """Ends what an earlier life of this replica left open. To be called before a stream is taken. Raises Unavailable, ReaderFailed."""
        for key, value in (await _last_values(bootstrap)).items():
            replica, source, partition = key.decode().split("/")
            if replica != self._replica or not value:
                continue
            headers = record_headers("TickBatch", f"left-open-{os.urandom(8).hex()}", feed=source)
            await (await self._publisher.publish(TICKS.name, int(partition), value, headers))
            await self.ended(source, int(partition))
            _log.warning("a source was left open, it is ended", source=source, partition=int(partition))

    async def _put(self, source: str, partition: int, value: bytes) -> "asyncio.Future[int]":
        key = f"{self._replica}/{source}/{partition}"
        headers = record_headers("TickBatch", f"{key}/{os.urandom(8).hex()}", feed=source)
        return await self._publisher.publish(OPEN_SOURCES.name, 0, value, headers, key.encode())


async def _last_values(bootstrap: str) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}

    def note(records: list[Record]) -> None:
        found.update((record.key, record.value) for record in records if record.key)

    reader = TopicReader(bootstrap, [OPEN_SOURCES.name], note)
    reader.start()
    try:
        await reader.wait_caught_up()
    finally:
        await asyncio.to_thread(reader.stop)
    return found


def _forgive(future: "asyncio.Future[int]") -> None:
    if not future.cancelled():
        future.exception()


def _end_of(source: str, source_kind: int) -> TickColumns:
    none, no_index = np.empty(0, np.int64), np.empty(0, np.uint32)
    return TickColumns(source, source_kind, (), no_index, none, none, none, none, none, source_ended=True)
