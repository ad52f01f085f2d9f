"""One partition: which record is next, what it leads to, and what has not been acknowledged yet.

Everything here runs between two awaits on the loop's thread, so a snapshot never falls between a record and its outputs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from services.runtime.errors import BadRecord
from services.runtime.stream import metrics
from services.runtime.stream.checkpoint import CheckpointWriter, Snapshot
from services.runtime.stream.errors import OffsetGap, PartitionDropped, RecordFailed
from services.runtime.stream.offsets import Extent
from services.runtime.stream.outputs import OutputProducer
from services.runtime.stream.records import InputRecord, Output, Processor
from services.runtime.wire import Memory

#: Called with a record that cannot be used and why, before it is passed over.
BuryRecord = Callable[[InputRecord, str, "PartitionPipeline"], None]


class Event(Protocol):
    """What is used of faust.Event."""

    def ack(self) -> bool:
        """Mark as processed; its offset may be committed once all before it are."""


class PartitionPipeline:
    """The state of one assigned partition, from its assignment to its revocation.

    start: offset of the first record to process. generation: of the consumer group, at the assignment.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        start: int,
        generation: int,
        processor: Processor,
        outputs: OutputProducer,
        writer: CheckpointWriter,
        bury: BuryRecord,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.generation = generation
        self.position = start
        """Offset of the next record."""
        self.checkpointed = start
        """Offset in the last checkpoint; records below it are acknowledged."""
        self._shown = start
        self.unacknowledged_bytes = 0
        self.dropped = False
        self.checkpoint_due_ns = 0
        """Monotonic time of the next checkpoint, if there is news by then."""
        self.writing = asyncio.Lock()
        """Held while a checkpoint is written: there is one at a time."""
        self._processor = processor
        self._outputs = outputs
        self._writer = writer
        self._bury = bury
        self._batch = outputs.new_batch()
        self._events: deque[tuple[int, int, Event | None]] = deque()
        labels = (topic, str(partition))
        self._records = metrics.RECORDS.labels(*labels)
        self._sent = Memory(metrics.OUTPUTS.labels)
        self._position_gauge = metrics.POSITION.labels(*labels)
        self._checkpoint_gauge = metrics.CHECKPOINT_OFFSET.labels(*labels)
        self._lag_gauge = metrics.LAG.labels(*labels)
        self._position_gauge.set(start)

    def handle(self, record: InputRecord, event: Event | None) -> None:
        """Process the next record, or pass over one that came before. event: to acknowledge when a checkpoint holds the record; a bundle has one for its last.

        Offsets of an input topic have no holes: it is not compacted and nobody writes to it in transactions, and where retention has cut
        the beginning away the pipeline starts behind the cut. So a hole means lost records.
        Raises OffsetGap at a hole, RecordFailed when the processor failed, and whatever the dead letters raise over their limit.
        """
        if record.offset < self.position:
            self._pass_over(record, event)
            return
        if record.offset > self.position:
            raise OffsetGap(self.topic, self.partition, self.position, record.offset)
        for output in self._process(record):
            self._send(output)
        self._events.append((record.offset, len(record.value), event))
        self.unacknowledged_bytes += len(record.value)
        self.position += 1
        self._records.inc()

    def _pass_over(self, record: InputRecord, event: Event | None) -> None:
        metrics.SKIPPED.labels(self.topic).inc()
        # A second copy of a record that no checkpoint holds yet is acknowledged with the first copy.
        if event is not None and record.offset < self.checkpointed:
            event.ack()

    def _process(self, record: InputRecord) -> list[Output]:
        try:
            return self._processor.process(record)
        except BadRecord as error:
            self._bury(record, error.why, self)
            return []
        except Exception as error:
            raise RecordFailed(record.topic, record.partition, record.offset, error) from error

    def _send(self, output: Output, *, live: bool = False) -> None:
        self._outputs.send(output, self._batch, live=live)
        self._sent[output.topic].inc()

    def produce(self, topic: str, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """Write a record that is no output (a dead letter); the next checkpoint waits for it all the same."""
        self._outputs.produce(topic, partition=partition, key=None, value=value, headers=headers, batch=self._batch)

    @property
    def has_unshown(self) -> bool:
        """Whether there are records since the processor was last asked for what is conflated."""
        return self.position > self._shown

    def live(self, now_ns: int) -> bool:
        """Let the processor publish what is conflated; whether there was any. Nothing after the partition was dropped."""
        if self.dropped:
            return False
        self._shown = self.position
        outputs = self._processor.live(now_ns)
        for output in outputs:
            self._send(output, live=True)
        return bool(outputs)

    @property
    def has_news(self) -> bool:
        """Whether there are records that no checkpoint holds."""
        return self.position > self.checkpointed and not self.dropped

    async def checkpoint(self) -> int:
        """Outputs, state, manifest, and then the acknowledgement of the events, in this order.

        Returns the bytes of state written; 0 when there was nothing new. When the partition is dropped meanwhile, nothing more is written or acknowledged.
        """
        async with self.writing:
            if not self.has_news:
                return 0
            snapshot = self._snapshot()
            try:
                size = await self._writer.write(snapshot)
            except PartitionDropped:
                return 0
            self._acknowledge(snapshot.next_offset)
            return size

    def _snapshot(self) -> Snapshot:
        with metrics.SNAPSHOT_SECONDS.time():
            state = self._processor.freeze()
        batch, self._batch = self._batch, self._batch.following()
        return Snapshot(state, self._processor.state_version, self.position, self.generation, batch)

    def _acknowledge(self, next_offset: int) -> None:
        self.checkpointed = next_offset
        self._checkpoint_gauge.set(next_offset)
        while self._events and self._events[0][0] < next_offset:
            _, size, event = self._events.popleft()
            self.unacknowledged_bytes -= size
            if event is not None:
                event.ack()

    def report(self, extent: Extent | None) -> None:
        """Bring the gauges up to date. extent: of the input partition, where known."""
        self._position_gauge.set(self.position)
        if extent is not None:
            self._lag_gauge.set(max(0, extent.end - self.position))

    def drop(self) -> None:
        """The partition is somebody else's now: forget everything, and let late callbacks do nothing."""
        self.dropped = True
        self._batch.drop()
        self._events.clear()
