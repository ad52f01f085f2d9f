"""Kafka as our code uses it: a producer with safe settings, awaited acknowledgements, and readers of whole topics without a group."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import SignalboxError, Unavailable
from services.runtime.headers import RecordHeaders
from services.runtime.logging import get_logger
from services.runtime.metrics import KAFKA_CLIENT_ERRORS, KAFKA_PRODUCE_ERRORS, KAFKA_PRODUCED, KAFKA_QUEUE_FULL, KAFKA_READ, KAFKA_READ_ERRORS

_log = get_logger("kafka")

#: A batch is a record already; waiting longer for company only adds latency.
_LINGER_MS = 1
#: Of a record, before compression; the topics allow as much, compressed.
MAX_RECORD_BYTES = 8 << 20
#: Memory for records not yet acknowledged; when it is full the source is not read further.
_QUEUE_KBYTES = 64 << 10
_POLL_S = 0.1
_METADATA_TIMEOUT_S = 2.0
_BOUNDS_ATTEMPTS = 40
_BOUNDS_PAUSE_S = 0.25

#: A fetch ends with its first record, or after this time.
_AT_ONCE = {"fetch.wait.max.ms": 100}
#: More than comes while a fetch gathers.
_GATHER_BYTES = 1 << 20

#: A broker that was restarted is found again within a second; librdkafka's own waits grow to 10 s.
_RECONNECT = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 1_000}

#: Topic and partition.
Place = tuple[str, int]


def make_producer(bootstrap: str, **overrides: object) -> Producer:
    """A producer that loses, repeats and reorders nothing: acks from all replicas, idempotence on, lz4.

    overrides: librdkafka settings with `_` for `.`, for instance `delivery_timeout_ms=10_000`.
    """
    config: dict[str, object] = {
        "bootstrap.servers": bootstrap,
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": _LINGER_MS,
        "message.max.bytes": MAX_RECORD_BYTES,
        "queue.buffering.max.kbytes": _QUEUE_KBYTES,
        **_RECONNECT,
        # Connection trouble comes by `error_cb`, as structured lines; librdkafka's own go nowhere.
        "log_level": 0,
        "error_cb": _report_errors("producer"),
    }
    return Producer(config | {key.replace("_", "."): value for key, value in overrides.items()})


def _report_errors(client: str) -> Callable[[KafkaError], None]:
    def report(error: KafkaError) -> None:
        KAFKA_CLIENT_ERRORS.labels(client, error.name()).inc()
        _log.warning("kafka client error", client=client, error=error.name(), detail=error.str(), fatal=error.fatal())

    return report


class PublishFailed(Unavailable):
    """The broker did not take a record."""

    reason = "BROKER_UNAVAILABLE"

    def __init__(self, topic: str, detail: str) -> None:
        super().__init__("Kafka", f"a record for {topic} was not acknowledged: {detail}")
        self.topic = topic


class Publisher(Protocol):
    """Something that records can be published to."""

    async def publish(self, topic: str, partition: int, value: bytes, headers: RecordHeaders, key: bytes | None = None) -> "asyncio.Future[int]":
        """Returns once the record is in the queue, waiting while that is full; the future gives its offset once the broker has it.

        The future raises PublishFailed when the broker did not take it. Records for one partition keep their order.
        """
        ...


class KafkaPublisher:
    """Publisher over a producer of confluent-kafka, served by a thread of its own; used from one event loop."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka-publisher", daemon=True)
        self._thread.start()

    async def publish(self, topic: str, partition: int, value: bytes, headers: RecordHeaders, key: bytes | None = None) -> "asyncio.Future[int]":
        """As Publisher says."""
        future: asyncio.Future[int] = self._loop.create_future()

        def delivered(error: KafkaError | None, message: Message) -> None:
            self._loop.call_soon_threadsafe(self._settle, future, topic, error, message.offset())

        offer = partial(self._producer.produce, topic, value, key, partition, on_delivery=delivered, headers=list(headers))
        while not self._taken(topic, offer):
            await self._room.wait()
        return future

    def _taken(self, topic: str, offer: Callable[[], None]) -> bool:
        try:
            offer()
        except BufferError:
            KAFKA_QUEUE_FULL.labels(topic).inc()
            self._room.clear()
            return False
        except KafkaException as error:
            raise PublishFailed(topic, str(error)) from error
        return True

    def _settle(self, future: "asyncio.Future[int]", topic: str, error: KafkaError | None, offset: int | None) -> None:
        self._room.set()
        if error is None:
            KAFKA_PRODUCED.labels(topic).inc()
        else:
            KAFKA_PRODUCE_ERRORS.labels(topic, error.name()).inc()
        if future.done():
            return
        if error is None:
            future.set_result(-1 if offset is None else offset)
        else:
            future.set_exception(PublishFailed(topic, error.str()))

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(_POLL_S)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Waits until all records are acknowledged or have failed, then ends the thread. Raises Unavailable when some are left."""
        left = await asyncio.to_thread(self._producer.flush, timeout_s)
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 2 * _POLL_S + 1.0)
        if left:
            raise Unavailable("Kafka", f"{left} records were not acknowledged within {timeout_s:g} s")


class Record(NamedTuple):
    """One record as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


class ReaderFailed(SignalboxError):
    """A topic reader has ended and must not be waited for any longer."""

    reason = "READER_FAILED"


class TopicReader:
    """Reads whole topics, without a consumer group, in a thread of its own.

    on_records: called in that thread with each batch of records, in order within a partition. If it raises, the reader ends and `failure` says why.
    start: offset to begin at, by (topic, partition), as `tail_start` gives it; partitions not named begin with their first record.
    on_failure: called in the thread with the error that ended the reader; for instance `lifecycle.fail`.
    gather_ms: how long a fetch waits for more records, in all partitions; None = it ends with the first. Records that come thick and fast cost the broker
    and the reader less then, for so much later.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Sequence[str],
        on_records: Callable[[list[Record]], None],
        *,
        start: Mapping[Place, int] | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
        batch: int = 500,
        gather_ms: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._topics = tuple(topics)
        self._read = {topic: KAFKA_READ.labels(topic) for topic in topics}
        self._on_records = on_records
        self._on_failure = on_failure
        self._start = dict(start or {})
        self._batch = batch
        self._clock = clock or SystemClock()
        self._consumer = Consumer(_reader_config(bootstrap, gather_ms))
        self._ends: dict[Place, int] = {}
        self._positions: dict[Place, int] = {}
        self._stop = threading.Event()
        self._polled_ns = self._clock.monotonic_ns()
        self._thread = threading.Thread(target=self._run, name=f"reader-{'+'.join(self._topics)}", daemon=True)
        self.caught_up = threading.Event()
        """Set once everything that was there at the start has been handed over."""
        self.failure: BaseException | None = None
        """What ended the reader, if anything did."""

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Ends the thread; no call of `on_records` begins after it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def positions(self) -> dict[Place, int]:
        """Next offset to hand over, by (topic, partition); empty until the partitions are known."""
        return dict(self._positions)

    def idle_seconds(self) -> float:
        """Seconds since the thread last asked for records: large when it is stuck in `on_records`."""
        return (self._clock.monotonic_ns() - self._polled_ns) / 1e9

    def check_ready(self) -> str | None:
        """For OpsServer: whether everything of the start is read and reading goes on."""
        if (why := self.check_alive()) is not None:
            return why
        if not self.caught_up.is_set():
            left = sum(max(0, end - self._positions.get(place, 0)) for place, end in list(self._ends.items()))
            return f"{left} records of {', '.join(self._topics)} are still to be read" if self._ends else f"{', '.join(self._topics)}: not known yet"
        return None

    def check_alive(self, stuck_after_s: float = 30.0) -> str | None:
        """For OpsServer: whether the thread runs and is not stuck."""
        if self.failure is not None:
            return f"reader ended: {self.failure!r}"
        if not self._thread.is_alive():
            return "reader does not run"
        if (idle := self.idle_seconds()) > stuck_after_s:
            return f"reader did not ask for records for {idle:.0f} s"
        return None

    async def wait_caught_up(self) -> None:
        """Returns when everything of the start is read. Raises ReaderFailed when the reader ends before."""
        while not self.caught_up.is_set():
            if self.failure is not None:
                raise ReaderFailed(f"reader of {', '.join(self._topics)} ended: {self.failure!r}") from self.failure
            await self._clock.sleep(0.02)

    def _run(self) -> None:
        try:
            self._assign()
            while not self._stop.is_set():
                self._read_once()
        except Exception as error:  # noqa: BLE001 - the edge of the thread: kept for the checks, logged, and told to the process
            self.failure = error
            _log.error("reader ended", topics=self._topics, error=str(error), exc_info=error)
            if self._on_failure is not None:
                self._on_failure(error)
        finally:
            self._consumer.close()

    def _assign(self) -> None:
        for place, (low, high) in bounds_of(self._consumer, self._topics, self._stop).items():
            self._ends[place] = high
            self._positions[place] = max(low, self._start.get(place, low))
        self._consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in self._positions.items()])
        self._check_caught_up()

    def _read_once(self) -> None:
        self._polled_ns = self._clock.monotonic_ns()
        # `consume(n, timeout)` waits for all n or the whole timeout; so wait for one, then take what else is there.
        first = self._consumer.poll(_POLL_S)
        if first is None:
            return
        messages = [first, *self._consumer.consume(self._batch - 1, 0)]
        records = [record for message in messages if (record := self._accept(message)) is not None]
        if records:
            self._on_records(records)
            for record in records:
                self._positions[record.topic, record.partition] = record.offset + 1
        self._check_caught_up()

    def _accept(self, message: Message) -> Record | None:
        error = message.error()
        if error is None:
            record = to_record(message)
            self._read[record.topic].inc()
            return record
        topic, partition = message.topic(), message.partition()
        if error.code() == KafkaError._PARTITION_EOF and topic is not None and partition is not None:
            # Compaction may have taken the records between here and the end that was seen at the start.
            self._ends.pop((topic, partition), None)
            return None
        KAFKA_READ_ERRORS.labels(error.name()).inc()
        if error.fatal() or not error.retriable():
            raise KafkaException(error)
        _log.warning("reading failed, going on", topic=topic, partition=partition, error=error.name(), detail=error.str())
        return None

    def _check_caught_up(self) -> None:
        if not self.caught_up.is_set() and all(self._positions[place] >= end for place, end in self._ends.items()):
            self.caught_up.set()


def _reader_config(bootstrap: str, gather_ms: int | None = None) -> dict[str, object]:
    return {
        "bootstrap.servers": bootstrap,
        # Named because librdkafka wants one; nothing is committed and no group is joined.
        "group.id": "signalbox-reader",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        # The default of 1000 costs a second whenever the reader is faster than the broker.
        "fetch.queue.backoff.ms": 10,
        **(_AT_ONCE if gather_ms is None else {"fetch.wait.max.ms": gather_ms, "fetch.min.bytes": _GATHER_BYTES}),
        "queued.max.messages.kbytes": 32 << 10,
        "fetch.message.max.bytes": MAX_RECORD_BYTES,
        **_RECONNECT,
        "log_level": 0,
        "error_cb": _report_errors("reader"),
    }


def to_record(message: Message) -> Record:
    """A message of confluent-kafka as a Record. message: without error. A value that is not there is empty bytes."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise ValueError("expected a message that was read from a topic")
    headers = [(str(item[0]), _bytes(item[1]) or b"") for item in message.headers() or ()]
    key, value = message.key(), message.value()
    return Record(topic, partition, offset, _bytes(key), _bytes(value) or b"", headers, message.timestamp()[1])


def _bytes(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None if value is None else str(value).encode()


def bounds_of(client: Consumer, topics: Sequence[str], stop: threading.Event | None = None) -> dict[Place, tuple[int, int]]:
    """First offset and end of each partition of the topics. Raises Unavailable when that cannot be learned in 40 attempts (10 to 90 s).

    There are several attempts because a topic made a moment ago has no leader yet. stop: ends the waiting.
    """
    stop = stop or threading.Event()
    problem = ""
    for _ in range(_BOUNDS_ATTEMPTS):
        try:
            return {place: client.get_watermark_offsets(TopicPartition(*place), timeout=_METADATA_TIMEOUT_S) for place in _places(client, topics)}
        except KafkaException as error:
            problem = str(error.args[0])
        if stop.wait(_BOUNDS_PAUSE_S):
            break
    raise Unavailable("Kafka", f"{', '.join(topics)}: {problem}")


def _places(client: Consumer, topics: Sequence[str]) -> list[Place]:
    found: list[Place] = []
    for topic in topics:
        metadata = client.list_topics(topic, timeout=_METADATA_TIMEOUT_S).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        found += [(topic, partition) for partition in sorted(metadata.partitions)]
    return found


def tail_start(bootstrap: str, topic: str, rows: int) -> dict[Place, int]:
    """Where to begin to read the last `rows` records of each partition, for TopicReader's `start`. Raises Unavailable."""
    consumer = Consumer(_reader_config(bootstrap))
    try:
        return {place: max(low, high - rows) for place, (low, high) in bounds_of(consumer, [topic]).items()}
    finally:
        consumer.close()


class BrokerCheck:
    """For OpsServer: asks the broker for a topic's metadata, at most once in `every_s` seconds."""

    def __init__(self, client: Producer | Consumer, topic: str, *, every_s: float = 2.0, timeout_s: float = 1.0, clock: Clock | None = None) -> None:
        self._client, self._topic = client, topic
        self._every_ns, self._timeout_s = int(every_s * 1e9), timeout_s
        self._clock = clock or SystemClock()
        self._asked_ns: int | None = None
        self._answer: str | None = None

    def __call__(self) -> str | None:
        """None when the broker answers, else why not."""
        now = self._clock.monotonic_ns()
        if self._asked_ns is None or now - self._asked_ns >= self._every_ns:
            self._answer, self._asked_ns = self._ask(), now
        return self._answer

    def _ask(self) -> str | None:
        try:
            metadata = self._client.list_topics(self._topic, timeout=self._timeout_s).topics[self._topic]
        except KafkaException as error:
            return f"broker does not answer: {error.args[0]}"
        return None if metadata.error is None else f"topic {self._topic}: {metadata.error.str()}"
