"""The Faust app: how it reads, and where it starts. Faust is imported here only.

Half-private hooks of faust-streaming 0.15.3 are used, and the versions are pinned for them: `seek_to_committed`, `_wait_next_records`, `_add_gap` and
`_new_offset` of its Kafka consumer, `on_start` of its table manager; and of aiokafka 0.14.0 two attributes of its fetcher, `_fetch_min_bytes` and
`_fetch_max_wait_ms`. A unit test fails when they are not there any more.

Faust takes some 160 microseconds for a message, whatever is in it: two tasks, a queue, an event, the acknowledgement. So it is given bundles: a message
is what one fetch brought of a partition, up to a bound, under the offset of its last record. With light traffic a bundle is one record.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import mode.loop

# Before Faust is imported: the consumer's thread makes its own loop from the policy that is in force then.
mode.loop.use("uvloop")

import faust  # noqa: E402
from aiokafka.structs import ConsumerRecord  # noqa: E402
from faust.tables.manager import TableManager  # noqa: E402
from faust.transport.drivers.aiokafka import Consumer as AiokafkaConsumer  # noqa: E402
from faust.types import TP  # noqa: E402

from services.runtime.clock import Clock, SystemClock  # noqa: E402
from services.runtime.stream.settings import StreamWorkerSettings  # noqa: E402

#: Bundles between fetching and processing. Faust's default of 4096 would be a gigabyte of full ones.
_BUFFERED_BUNDLES = 64
#: A bundle ends with the record that reaches either bound: then Faust is a few percent of the time, and the loop is not held up for long.
_BUNDLE_BYTES = 256 << 10
_BUNDLE_RECORDS = 32

#: Fetches that bring records within this time of each other, beyond what they wait for more, are "all the time".
_BUSY_NS = 12_000_000
#: More than comes while a fetch waits.
_GATHER_BYTES = 1 << 20
#: A fetch while little comes: it ends with the first record.
_AT_ONCE_BYTES, _AT_ONCE_MS = 1, 1_500

#: Seconds for a request to the broker, as tried; must be above the session's.
_REQUEST_SECONDS = 30.0
_REBALANCE_SECONDS = 10.0
_HEARTBEAT_SECONDS = 1.0
_COMMIT_SECONDS = 0.5


class Assignment(NamedTuple):
    """What the group has given this worker."""

    partitions: frozenset[int]
    generation: int


class Reader(Protocol):
    """What the app tells about the group's decisions and asks for. All methods run on the loop's thread."""

    async def assigned(self, assignment: Assignment) -> None:
        """Restore these partitions; awaited before anything is read."""

    async def revoked(self) -> None:
        """Every partition is about to be taken away (the group gives them all out anew); awaited before it is."""

    async def consume(self, events: AsyncIterator[Any]) -> None:
        """Process events until cancelled; each one's message holds a tuple of records. Must not raise: Faust would start it again and lose the records."""

    def positions(self) -> Mapping[int, int]:
        """The next offset of each restored partition."""


def bundles(records: Iterable[ConsumerRecord[Any, Any]]) -> Iterator[ConsumerRecord[Any, Any]]:
    """The records of a partition as few: each with a tuple of records as value, and the offset of the last one."""
    bundle: list[ConsumerRecord[Any, Any]] = []
    size = 0
    for record in records:
        bundle.append(record)
        size += len(record.value or b"")
        if size >= _BUNDLE_BYTES or len(bundle) >= _BUNDLE_RECORDS:
            yield replace(record, value=tuple(bundle), headers=())
            bundle, size = [], 0
    if bundle:
        yield replace(bundle[-1], value=tuple(bundle), headers=())


class CheckpointedConsumer(AiokafkaConsumer):
    """Faust's Kafka consumer, except that it starts where the checkpoints say, whatever is committed."""

    #: Set by `build_app` on a subclass: the next offsets of the input topic's partitions.
    starts: Callable[[], Mapping[TP, int]]
    #: Milliseconds that a fetch waits for more while records come all the time: fewer requests to the broker and fewer messages.
    gather_ms = 8
    #: How many times the positions were set; tells a fetch that began before.
    seeks = 0
    #: When records came last, monotonic.
    came_ns = 0
    clock: Clock = SystemClock()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Called by Faust at the end of a rebalance, and when a fetch came back in the middle of one."""
        assigned = self.assignment()
        starts = {tp: offset for tp, offset in type(self).starts().items() if tp in assigned}
        self.seeks += 1
        if starts:
            await self._thread.seek_wait(starts)
        return starts

    async def _wait_next_records(self, timeout: float) -> Any:
        """Drop what was fetched across a seek: it may be from before it, and Faust would deliver it as if it were from after."""
        seeks = self.seeks
        records, active = await super()._wait_next_records(timeout)
        self._choose_wait(found=bool(records))
        if records and seeks != self.seeks:
            await self.perform_seek()
            return None, active
        return {tp: list(bundles(of_partition)) for tp, of_partition in (records or {}).items()}, active

    def _choose_wait(self, *, found: bool) -> None:
        """How the next fetches wait at the broker; aiokafka reads these attributes for each."""
        busy = False
        if found:
            before, self.came_ns = self.came_ns, self.clock.monotonic_ns()
            busy = self.came_ns - before < self.gather_ms * 1_000_000 + _BUSY_NS
        fetcher = self._thread._ensure_consumer()._fetcher
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = (_GATHER_BYTES, self.gather_ms) if busy else (_AT_ONCE_BYTES, _AT_ONCE_MS)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: what Faust takes for a gap are the records of a bundle before its last. (Real gaps end the process.)"""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit. Bundles are acknowledged in order, so it is the one after the highest; Faust would look for gaps, and step over some."""
        acknowledged = self._acked[tp]
        if not acknowledged:
            return None
        highest: int = max(acknowledged)
        acknowledged.clear()
        self._acked_index[tp].clear()
        return highest + 1


class NoTables(TableManager):
    """Faust's table manager, which starts everything after it, without the second it waits for tables: there are none."""

    async def on_start(self) -> None:
        """As in the base class, less its sleep."""
        await self._update_channels()
        await self.recovery.start()


class StreamApp:
    """The Faust app of a worker: one agent that reads one topic."""

    def __init__(self, settings: StreamWorkerSettings, topic: str, reader: Reader) -> None:
        self._topic = topic
        self._reader = reader
        self.faust = _new_app(settings)
        self.faust.transport.Consumer = self._consumer_class(settings.gather_ms)
        self.faust.on_partitions_revoked.connect(self._on_revoked)
        self.faust.on_rebalance_complete.connect(self._on_rebalance_complete)
        source = self.faust.topic(topic, key_serializer="raw", value_serializer="raw", value_type=bytes, key_type=bytes)
        self.faust.agent(source, name=f"{settings.app}-{topic}")(self._read)

    def _consumer_class(self, gather_milliseconds: int) -> type[CheckpointedConsumer]:
        topic, positions = self._topic, self._reader.positions

        class Consumer(CheckpointedConsumer):
            gather_ms = gather_milliseconds
            starts = staticmethod(lambda: {TP(topic, partition): offset for partition, offset in positions().items()})

        return Consumer

    @property
    def generation(self) -> int:
        """Generation of the group, as this worker knows it."""
        return int(self.faust.consumer_generation_id)

    @property
    def crashed(self) -> BaseException | None:
        """What Faust ended with, when it ended by itself."""
        if not self.faust.crashed:
            return None
        reason: BaseException | None = self.faust.crash_reason
        return reason or RuntimeError("Faust gave no reason")

    async def start(self) -> None:
        """Join the group and read. Returns once the services run; the first assignment comes later."""
        self.faust.finalize()
        await self.faust.start()

    async def read_again(self) -> None:
        """Fetch anew from the reader's positions; what was fetched already may come twice."""
        await self.faust.consumer.perform_seek()

    async def commit(self) -> None:
        """Commit what was acknowledged."""
        await self.faust.consumer.commit()

    async def stop(self) -> None:
        """Stop reading and leave."""
        await self.faust.stop()

    async def _read(self, stream: Any) -> None:
        await self._reader.consume(stream.noack().events())

    async def _on_revoked(self, _app: Any, _revoked: Any, **_: Any) -> None:
        await self._reader.revoked()

    async def _on_rebalance_complete(self, _app: Any, **_: Any) -> None:
        generation = self.generation
        partitions = frozenset(tp.partition for tp in self.faust.consumer.assignment() if tp.topic == self._topic)
        await self._reader.assigned(Assignment(partitions, generation))


def _data_folder(settings: StreamWorkerSettings) -> Path:
    folder = settings.home / "faust" / settings.group
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _new_app(settings: StreamWorkerSettings) -> Any:
    """The settings that worked when they were tried; the comments say what went wrong with others."""
    if settings.log_level != "debug":
        # Thirty lines a start that say which service begins; what the group decides is told by aiokafka's logger and ours.
        for name in ("faust", "mode", __name__):
            logging.getLogger(name).setLevel(logging.WARNING)
    return faust.App(
        settings.group,
        broker=[f"kafka://{address}" for address in settings.kafka_bootstrap_servers.split(",")],
        store="memory://",
        # It keeps nothing there, but makes the folder, in the current one otherwise.
        datadir=_data_folder(settings),
        # It listens on every address otherwise.
        web_enabled=False,
        topic_disable_leader=True,
        TableManager=NoTables,
        # Left at its default it hangs SIGTERM for over 40 s.
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_buffer_maxsize=_BUFFERED_BUNDLES,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.instance,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=_HEARTBEAT_SECONDS,
        broker_request_timeout=_REQUEST_SECONDS,
        broker_rebalance_timeout=_REBALANCE_SECONDS,
        broker_commit_interval=_COMMIT_SECONDS,
    )
