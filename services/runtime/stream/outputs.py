"""Writing to Kafka from the loop's thread, with the acknowledgements that a checkpoint waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from confluent_kafka import KafkaError, Message

from services.runtime.headers import RecordHeaders
from services.runtime.stream.errors import DeliveryFailed, PartitionDropped
from services.runtime.stream.records import Output

#: Seconds in which a full queue must find room before the broker counts as gone; the process then ends.
_ROOM_SECONDS = 30.0

DeliveryCallback = Callable[[KafkaError | None, Message], None]


class KafkaProducer(Protocol):
    """What is used of confluent_kafka.Producer."""

    def produce(self, topic: str, *, partition: int, key: bytes | None, value: bytes, headers: Any, on_delivery: DeliveryCallback) -> None:
        """Put into the queue. Raises BufferError when it is full."""

    def poll(self, timeout: float) -> int:
        """Run the delivery callbacks that are due."""

    def flush(self, timeout: float) -> int:
        """Wait until the queue is empty; returns how many are left."""

    def __len__(self) -> int:
        """Records that the broker has not acknowledged."""


class _Tenure:
    """A partition's time with this worker; all its batches have the same one."""

    __slots__ = ("over", "waiting")

    def __init__(self) -> None:
        self.over = False
        self.waiting: set[asyncio.Event] = set()


class OutputBatch:
    """The outputs of one partition between two checkpoints; knows when the broker has them all."""

    __slots__ = ("_fail", "_idle", "_tenure", "pending")

    def __init__(self, fail: Callable[[BaseException], None], tenure: _Tenure | None = None) -> None:
        self._fail = fail
        self._tenure = tenure or _Tenure()
        self._idle: asyncio.Event | None = None
        self.pending = 0

    def following(self) -> OutputBatch:
        """For what is written next, of the same partition. Raises PartitionDropped."""
        if self._tenure.over:
            raise PartitionDropped("the partition was dropped")
        return OutputBatch(self._fail, self._tenure)

    def drop(self) -> None:
        """The partition is somebody else's now: nobody waits for this batch and those before it any more, nor for what becomes of them."""
        self._tenure.over = True
        for event in self._tenure.waiting:
            event.set()

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        """The broker's answer for one output. Of a dropped partition nobody waits any more, whatever it is."""
        self.pending -= 1
        if self._tenure.over:
            return
        if error is not None:
            self._fail(DeliveryFailed(str(message.topic()), message.partition() or 0, str(error)))
        elif not self.pending and self._idle is not None:
            self._idle.set()

    async def acknowledged(self) -> None:
        """Returns when the broker has all of them. Never returns after a failed delivery: the process ends then. Raises PartitionDropped."""
        if self.pending and not self._tenure.over:
            self._idle = asyncio.Event()
            await self._wait(self._idle)
        if self._tenure.over:
            raise PartitionDropped("the partition was dropped")

    async def _wait(self, event: asyncio.Event) -> None:
        self._tenure.waiting.add(event)
        try:
            await event.wait()
        finally:
            self._tenure.waiting.discard(event)


class OutputProducer:
    """Producers of confluent-kafka polled on the loop's thread. Callbacks run in `poll`, so nothing here is locked.

    producer: of what must not wait: what is shown live, checkpoints, dead letters. patient: of the outputs of records, which may wait some milliseconds
    for company, because each request costs the broker more than what is in it; the same one by default. Between the two there is no order.
    """

    def __init__(self, producer: KafkaProducer, fail: Callable[[BaseException], None], max_outstanding: int, patient: KafkaProducer | None = None) -> None:
        self._producer = producer
        self._patient = producer if patient is None else patient
        self._both = (producer,) if patient is None else (producer, patient)
        self._fail = fail
        self._max_outstanding = max_outstanding

    @property
    def crowded(self) -> bool:
        """Whether so many outputs wait for the broker that no further record should be processed now."""
        return sum(map(len, self._both)) >= self._max_outstanding

    def new_batch(self) -> OutputBatch:
        """For the outputs of a partition from its assignment to its first checkpoint."""
        return OutputBatch(self._fail)

    def send(self, output: Output, batch: OutputBatch, *, live: bool = False) -> None:
        """Hand an output over. Raises DeliveryFailed when the queue stays full for 30 s, KafkaException when the client refuses it."""
        topic, partition, key, value, headers = output
        self._produce(self._producer if live else self._patient, topic, partition, key, value, headers, batch)

    def produce(self, topic: str, *, partition: int, key: bytes | None, value: bytes, headers: RecordHeaders, batch: OutputBatch) -> None:
        """As `send`, for records that are no outputs of a processor."""
        self._produce(self._producer, topic, partition, key, value, headers, batch)

    @staticmethod
    def _produce(  # noqa: PLR0917 - called for each output: keywords would cost as much as the rest
        producer: KafkaProducer, topic: str, partition: int, key: bytes | None, value: bytes, headers: RecordHeaders, batch: OutputBatch
    ) -> None:
        try:
            producer.produce(topic, partition=partition, key=key, value=value, headers=headers, on_delivery=batch.on_delivery)
        except BufferError:
            # Records are taken in only while there is room for their outputs, so this is a single record with very many of them.
            _make_room(producer, topic, partition)
            producer.produce(topic, partition=partition, key=key, value=value, headers=headers, on_delivery=batch.on_delivery)
        batch.pending += 1

    def poll(self) -> None:
        """Run the callbacks that are due; never waits."""
        for producer in self._both:
            producer.poll(0)

    def flush(self, seconds: float) -> int:
        """Wait for the broker, at most `seconds` for each producer; returns how many outputs it still does not have. Blocks the thread."""
        return sum(producer.flush(seconds) for producer in self._both)


def _make_room(producer: KafkaProducer, topic: str, partition: int) -> None:
    waiting = len(producer)
    for _ in range(int(_ROOM_SECONDS * 10)):
        producer.poll(0.1)
        if len(producer) < waiting:
            return
    raise DeliveryFailed(topic, partition, f"the queue was full for {_ROOM_SECONDS:g} s")
