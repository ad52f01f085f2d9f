"""Who is the active scheduler: the owner of the one partition of ops.schedule.v1 in its consumer group, with the group's generation as the fence.

A record is written in a Kafka transaction that also commits an offset for the group: the broker refuses it when the generation is not the current one, or
when a newer producer has taken over the transactional id. So what a scheduler writes that was stopped, cut off or replaced without knowing it is never read.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from services.reports.schedule import metrics
from services.reports.schedule.runs import Run, RunBook, read_run
from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import BadRecord, SignalboxError, Unavailable
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.logging import get_logger
from services.runtime.topics import SCHEDULE

_log = get_logger("schedule")

GROUP = "signalbox-scheduler"
"""Of the schedulers; also their transactional id."""

_POLL_S = 0.1
#: For one transaction: long for a broker that restarts, shorter than the drain.
_TRANSACTION_S = 6.0
#: The poll thread is stuck when it was not seen for so long.
_STUCK_S = 20.0
#: librdkafka's serialised group metadata: magic, then the generation as a 32-bit number.
_METADATA_MAGIC = b"CGMDv2:"


class Deposed(SignalboxError):
    """This scheduler is not the active one any more."""

    reason = "DEPOSED"


@dataclass(eq=False, slots=True)
class Term:
    """One assignment of the partition to us, from its beginning to its end."""

    metadata: bytes
    """Of the group at the assignment: names the generation. (Asked for from another thread than the one that polls, it never comes.)"""
    book: RunBook
    """All runs that the topic had when the term began."""
    producer: Producer
    is_over: bool = False

    @property
    def generation(self) -> int:
        """Of the group."""
        return generation_of(self.metadata)


class Leadership:
    """Joins the group and keeps its place in it, in a thread of its own. name: who we are, for people."""

    def __init__(self, bootstrap: str, name: str, *, session_timeout_ms: int = 6_000, clock: Clock | None = None) -> None:
        self._bootstrap, self.name = bootstrap, name
        self._clock = clock or SystemClock()
        self._consumer = Consumer(_consumer_config(bootstrap, name, session_timeout_ms))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leadership", daemon=True)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="schedule-writer")
        self._reading: Term | None = None
        self._next_offset = 0
        self._must_rejoin = False
        self._polled_ns = self._clock.monotonic_ns()
        self.term: Term | None = None
        """The current term, once its book is complete; None while another scheduler is active. Read from any thread."""
        self.failure: BaseException | None = None
        """What ended the thread, if anything did."""
        self.on_failure: Callable[[BaseException], None] | None = None

    def start(self) -> None:
        """Joins the group."""
        self._thread.start()

    async def stop(self) -> None:
        """Leaves the group, so that another scheduler goes on at once."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 4.0)
        self._writer.shutdown(wait=False, cancel_futures=True)

    def check(self) -> str | None:
        """For OpsServer: whether the thread runs and keeps our place in the group."""
        if self.failure is not None:
            return f"the group was left: {self.failure!r}"
        idle = (self._clock.monotonic_ns() - self._polled_ns) / 1e9
        return f"the group was not polled for {idle:.0f} s" if idle > _STUCK_S else None

    async def write(self, term: Term, run: Run) -> None:
        """Writes a run, fenced by the term's generation. Raises Deposed, Unavailable."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, term, run)

    # -- the thread

    def _run(self) -> None:
        try:
            self._join()
            while not self._stop.is_set():
                self._polled_ns = self._clock.monotonic_ns()
                if (message := self._consumer.poll(_POLL_S)) is not None:
                    self._take(message)
                if self._must_rejoin or (self.term is not None and self.term.is_over):
                    self._rejoin()
        except Exception as error:  # noqa: BLE001 - the edge of the thread: kept for the checks, logged, and told to the process
            self.failure = error
            _log.error("leadership ended", error=str(error), exc_info=error)
            if self.on_failure is not None:
                self.on_failure(error)
        finally:
            self._end_term()
            self._consumer.close()

    def _join(self) -> None:
        self._consumer.subscribe([SCHEDULE.name], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def _rejoin(self) -> None:
        """Our writes are refused though the partition is ours, as after a transaction whose end is unknown: a new generation makes that clear."""
        self._must_rejoin = False
        self._end_term()
        self._consumer.unsubscribe()
        self._join()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._end_term()
        if not partitions:
            return
        producer = make_producer(self._bootstrap, **{"transactional.id": GROUP, "transaction.timeout.ms": 10_000})
        # From here on a transaction of the scheduler before us is ended or refused: what is read below is all there will be of it.
        try:
            producer.init_transactions(_TRANSACTION_S)
        except KafkaException as error:
            _log.warning("the schedule cannot be taken over yet", error=error.args[0].str())
            self._must_rejoin = True
            return
        self._reading = Term(consumer.consumer_group_metadata(), RunBook(), producer)
        consumer.assign([TopicPartition(SCHEDULE.name, 0, OFFSET_BEGINNING)])

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._end_term()

    def _end_term(self) -> None:
        for term in (self._reading, self.term):
            if term is not None:
                term.is_over = True
        if self.term is not None:
            _log.info("another scheduler may be active from now on", generation=self.term.generation)
        self._reading = self.term = None
        metrics.IS_ACTIVE.set(0)

    def _take(self, message: Message) -> None:
        if (error := message.error()) is not None:
            self._take_error(error)
            return
        self._next_offset = (message.offset() or 0) + 1
        if self._reading is not None and (value := message.value()):
            try:
                self._reading.book.put(read_run(value))
            except BadRecord as error:
                _log.warning("a record of the schedule cannot be read", offset=message.offset(), reason=str(error))

    def _take_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._begin_term()
        elif error.code() == KafkaError._MAX_POLL_EXCEEDED:
            # We were stopped for long; librdkafka joins again by itself.
            self._end_term()
        elif error.fatal() or not error.retriable():
            raise KafkaException(error)
        else:
            _log.warning("the schedule cannot be read, going on", error=error.name(), detail=error.str())

    def _begin_term(self) -> None:
        """Everything is read. What we write ourselves comes by here too, and is in the book already."""
        if self._reading is None or self.term is not None:
            return
        self.term, self._reading = self._reading, None
        metrics.IS_ACTIVE.set(1)
        metrics.GENERATION.set(self.term.generation)
        _log.info("this scheduler is active", generation=self.term.generation, name=self.name)

    # -- writing

    def _write(self, term: Term, run: Run) -> None:
        if term.is_over:
            raise Deposed(f"generation {term.generation} is over")
        try:
            self._transact(term, run)
        except KafkaException as error:
            raise self._write_failed(term, error.args[0]) from error

    def _transact(self, term: Term, run: Run) -> None:
        producer, failed = term.producer, list[KafkaError]()

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(error)

        producer.begin_transaction()
        value = run.record(term.generation, self.name)
        headers: list[tuple[str, str | bytes | None]] = [*record_headers("ScheduleRun", f"{run.key}/{run.state.value}")]
        producer.produce(SCHEDULE.name, value, run.key.encode(), partition=0, headers=headers, on_delivery=delivered)
        place = TopicPartition(SCHEDULE.name, 0, self._next_offset)
        producer.send_offsets_to_transaction([place], term.metadata, _TRANSACTION_S)
        producer.commit_transaction(_TRANSACTION_S)
        if failed:
            raise KafkaException(failed[0])

    def _write_failed(self, term: Term, error: KafkaError) -> SignalboxError:
        if not error.fatal():
            try:
                term.producer.abort_transaction(_TRANSACTION_S)
            except KafkaException as again:
                error = again.args[0]
        if error.fatal() or error.code() in _NOT_OURS:
            term.is_over = True
            return Deposed(f"generation {term.generation} is over: {error.str()}")
        return Unavailable("Kafka", f"a run of the schedule could not be written: {error.str()}")


_NOT_OURS = (KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH)


def generation_of(metadata: bytes) -> int:
    """The generation in a consumer group's serialised metadata. Raises ValueError for a form that is not known."""
    if not metadata.startswith(_METADATA_MAGIC):
        raise ValueError(f"group metadata: expected {_METADATA_MAGIC!r} first, was {metadata[:8]!r}")
    return int(struct.unpack_from("=i", metadata, len(_METADATA_MAGIC))[0])


def _consumer_config(bootstrap: str, name: str, session_timeout_ms: int) -> dict[str, object]:
    return {
        "bootstrap.servers": bootstrap,
        "group.id": GROUP,
        "client.id": name,
        "session.timeout.ms": session_timeout_ms,
        "heartbeat.interval.ms": max(100, session_timeout_ms // 4),
        "max.poll.interval.ms": max(30_000, session_timeout_ms),
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "fetch.queue.backoff.ms": 10,
        "reconnect.backoff.max.ms": 1_000,
        "log_level": 0,
    }
