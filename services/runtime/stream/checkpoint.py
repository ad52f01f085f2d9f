"""Checkpoints in Kafka: outputs first, then chunks, then the manifest; each step begins when the broker has the one before.

The input events are acknowledged by the caller after `CheckpointWriter.write` returned, so a crash between any two steps costs nothing but
processing some records again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from signalbox.events.v1.checkpoint_pb2 import CheckpointManifest

from services.runtime.kafka import to_record
from services.runtime.stream.errors import StartFailed
from services.runtime.stream.manifests import CHUNK_BYTES, SLOTS, CheckpointLog, Choice, chunk_records, manifest_key
from services.runtime.stream.offsets import Extent, TopicOffsets
from services.runtime.stream.outputs import OutputBatch, OutputProducer
from services.runtime.stream.state import Frozen

#: Seconds without any record or answer after which reading checkpoints is given up.
_READ_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A partition between two records."""

    state: Frozen
    state_version: int
    next_offset: int
    """Offset of the first input record that the state does not hold."""
    generation: int
    outputs: OutputBatch
    """What was written since the snapshot before."""


class CheckpointWriter:
    """Writes the checkpoints of one partition, one after the other."""

    def __init__(self, topic: str, app: str, partition: int, outputs: OutputProducer, choice: Choice) -> None:
        self._topic = topic
        self._app = app
        self._partition = partition
        self._outputs = outputs
        self._sequence = choice.last_sequence
        # The one we started from is the best there is; it must not be the first to be written over.
        self._spared = choice.best.sequence % SLOTS if choice.best else None

    async def write(self, snapshot: Snapshot) -> int:
        """Returns the bytes of state when the broker has the outputs, the state and the manifest. A failed delivery ends the process instead.

        Raises PartitionDropped, with nothing more written, when the partition went meanwhile: its slots are its new owner's.
        """
        await self.wait_for_outputs(snapshot)
        sequence = self._next_sequence()
        chunks, digest, size = await self._encode(sequence % SLOTS, snapshot.state)
        await self.write_chunks(chunks, snapshot)
        manifest = CheckpointManifest(
            app=self._app,
            partition=self._partition,
            next_offset=snapshot.next_offset,
            generation=snapshot.generation,
            chunk_keys=[key for key, _ in chunks],
            sha256=digest,
            state_version=snapshot.state_version,
            sequence=sequence,
        )
        await self.write_manifest(manifest_key(self._partition, sequence % SLOTS), manifest.SerializeToString(), snapshot)
        self._sequence, self._spared = sequence, None
        return size

    async def wait_for_outputs(self, snapshot: Snapshot) -> None:
        """Step 1: the broker has everything that the state's records led to."""
        await snapshot.outputs.acknowledged()

    async def write_chunks(self, chunks: list[tuple[str, bytes]], snapshot: Snapshot) -> None:
        """Step 2: the broker has the state."""
        await self._put(chunks, snapshot)

    async def write_manifest(self, key: str, value: bytes, snapshot: Snapshot) -> None:
        """Step 3: the broker has the manifest, and the checkpoint counts."""
        await self._put([(key, value)], snapshot)

    def _next_sequence(self) -> int:
        sequence = self._sequence + 1
        return sequence + 1 if sequence % SLOTS == self._spared else sequence

    async def _encode(self, slot: int, state: Frozen) -> tuple[list[tuple[str, bytes]], bytes, int]:
        if state.nbytes <= CHUNK_BYTES:
            return _encode(self._partition, slot, state)
        # Packing, hashing and copying megabytes would hold up records; a hop to a thread would hold up a small checkpoint.
        return await asyncio.to_thread(_encode, self._partition, slot, state)

    async def _put(self, records: list[tuple[str, bytes]], snapshot: Snapshot) -> None:
        batch = snapshot.outputs.following()
        for key, value in records:
            self._outputs.produce(self._topic, partition=self._partition, key=key.encode(), value=value, headers=[], batch=batch)
        await batch.acknowledged()


def _encode(partition: int, slot: int, frozen: Frozen) -> tuple[list[tuple[str, bytes]], bytes, int]:
    state = frozen.pack()
    return chunk_records(partition, slot, state), hashlib.sha256(state).digest(), len(state)


def _add(logs: dict[int, CheckpointLog], message: Message) -> None:
    record = to_record(message)
    logs[record.partition].add(record.offset, record.key or b"", record.value)


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a partition at its assignment."""

    log: CheckpointLog
    input: Extent
    """Which records the input partition has."""


class CheckpointReader:
    """Reads checkpoint partitions from begin to end. Blocks; for a thread other than the loop's."""

    def __init__(self, bootstrap: str, app: str, input_topic: str, checkpoint_topic: str) -> None:
        self._app = app
        self._input = TopicOffsets(bootstrap, input_topic)
        self._topic = checkpoint_topic
        self._config = {
            "bootstrap.servers": bootstrap,
            # Never joined: partitions are assigned by hand and nothing is committed.
            "group.id": f"signalbox-{app}-checkpoints",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            # Its default of 1000 ms costs a second on every drained queue.
            "fetch.queue.backoff.ms": 10,
            "fetch.wait.max.ms": 10,
        }

    def read(self, partitions: Iterable[int]) -> dict[int, Found]:
        """The checkpoints of each partition, and where its input begins and ends. Raises StartFailed."""
        logs = {partition: CheckpointLog(self._app, partition) for partition in partitions}
        if not logs:
            return {}
        consumer = Consumer(self._config)
        try:
            self._read_all(consumer, logs)
            # Asked after reading: no checkpoint that was read can be ahead of this end.
            extents = self._input.extents(logs, _READ_SECONDS)
        except KafkaException as error:
            raise StartFailed(f"{self._topic}: checkpoints cannot be read: {error}") from error
        finally:
            consumer.close()
        return {partition: Found(log, extents[partition]) for partition, log in logs.items()}

    def _read_all(self, consumer: Consumer, logs: dict[int, CheckpointLog]) -> None:
        # The number, not OFFSET_BEGINNING: that is a question to the broker, asked anew only after half a second when the connection is young.
        consumer.assign([TopicPartition(self._topic, partition, 0) for partition in logs])
        unfinished = set(logs)
        while unfinished:
            message = consumer.poll(_READ_SECONDS)
            if message is None:
                raise StartFailed(f"{self._topic}: no answer for {_READ_SECONDS:g} s while reading the checkpoints of partitions {sorted(unfinished)}")
            if self._is_end(message):
                unfinished.discard(message.partition())
            else:
                _add(logs, message)

    def _is_end(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            return True
        raise StartFailed(f"{self._topic}: checkpoints cannot be read: {error}")
