"""What the log already holds of a source: read from the end of the topic backwards.

Kafka is the only memory of a feed. Records of other sources are told apart by their header, without being decoded.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from services.prices.feeds import metrics
from services.prices.feeds.ports import Stored
from services.prices.snapshots import snapshot_of, symbol_of
from services.runtime.clock import Clock, SystemClock
from services.runtime.columns import BarColumns, TickColumns, decode_bars, decode_ticks
from services.runtime.errors import BadRecord, Unavailable
from services.runtime.headers import read_headers
from services.runtime.kafka import Record, to_record
from services.runtime.logging import get_logger
from services.runtime.topics import BARS, SNAPSHOTS, TICKS

_log = get_logger("feeds.position")
T = TypeVar("T")

_TIMEOUT_S = 10.0
#: Seen for a moment after a topic was created or a broker came back.
_PASSING = frozenset((KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART))
_PASSING_WAIT_S = 0.1
#: Records read in the first step back; each further step is four times as long, so a feed that was quiet long is still found soon.
_FIRST_STEP = 500
_LONGEST_STEP = 200_000


class LogTail:
    """Reads partitions from their end backwards. To be used in a thread and closed.

    All methods raise Unavailable when the broker does not answer or the topic does not exist.
    """

    def __init__(self, bootstrap: str, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "signalbox-feeds",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.queue.backoff.ms": 10,
                "fetch.wait.max.ms": 50,
                "log_level": 0,
            }
        )

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def ticks(self, source: str, symbol: str, partition: int) -> Stored:
        """What market.ticks.v1 holds of the source in the partition, and the symbol's published watermark."""
        return replace(self.last_rows(source, partition), symbol_watermark=self.symbol_watermarks(partition).get(symbol, 0))

    def last_rows(self, source: str, partition: int, records: int | None = None) -> Stored:
        """What market.ticks.v1 holds of the source in the partition. records: how far to look back; None = to the beginning."""
        watermark, ended = 0, None
        for message in self._backwards(TICKS.name, partition, source, records):
            columns = _decoded(decode_ticks, message)
            if columns is None:
                continue
            watermark = max(watermark, columns.watermark)
            ended = columns.source_ended if ended is None else ended
            if len(columns):
                return _stored(columns, watermark, ended)
        return Stored(watermark=watermark, ended=bool(ended))

    def symbol_watermarks(self, partition: int) -> dict[str, int]:
        """The published watermark of each symbol in the partition. The topic is compacted and small, so it is read whole."""
        low, end = self._bounds(SNAPSHOTS.name, partition)
        latest: dict[str, int] = {}
        for message in self._read(SNAPSHOTS.name, partition, low, end) if end > low else ():
            record = to_record(message)
            try:
                latest[symbol_of(record)] = _watermark_of(record)
            except BadRecord as error:
                # It stays in the topic: a feed that failed of it would never start again.
                _pass_over(record, error)
        return {symbol: watermark for symbol, watermark in latest.items() if watermark}

    def last_bars(self, source: str, partition: int) -> dict[str, tuple[int, int]]:
        """The newest bars of the source in a partition of market.bars.v1: by symbol (ts_open, replay_shift), UTC nanoseconds.

        Looks at the newest record and those just before it, in which every symbol that the source still writes appears.
        """
        found: dict[str, tuple[int, int]] = {}
        for count, message in enumerate(self._backwards(BARS.name, partition, source)):
            columns = _decoded(decode_bars, message)
            for symbol, last in _last_bars(columns).items() if columns else ():
                found.setdefault(symbol, last)
            if count >= _FIRST_STEP:
                break
        return found

    def _backwards(self, topic: str, partition: int, source: str, records: int | None = None) -> Iterator[Message]:
        """The records of the source, newest first."""
        low, end = self._bounds(topic, partition)
        low = low if records is None else max(low, end - records)
        step = _FIRST_STEP
        while end > low:
            begin = max(low, end - step)
            wanted = [message for message in self._read(topic, partition, begin, end) if read_headers(to_record(message).headers).feed == source]
            yield from reversed(wanted)
            end, step = begin, min(4 * step, _LONGEST_STEP)

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        end_ns = self._clock.monotonic_ns() + round(_TIMEOUT_S * 1e9)
        while True:
            try:
                return self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() not in _PASSING or self._clock.monotonic_ns() > end_ns:
                    raise Unavailable(f"topic {topic}", str(error.args[0])) from error
            # Serves the client while its metadata catches up.
            self._consumer.poll(_PASSING_WAIT_S)

    def _read(self, topic: str, partition: int, begin: int, end: int) -> Iterator[Message]:
        """The records with offsets in [begin, end), as far as they are still there."""
        self._consumer.assign([TopicPartition(topic, partition, begin)])
        position = begin
        while position < end:
            message = self._consumer.poll(_TIMEOUT_S)
            if message is None:
                raise Unavailable(f"topic {topic}", f"no record of partition {partition} within {_TIMEOUT_S:g} s")
            if (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    return
                raise Unavailable(f"topic {topic}", error.str())
            offset = message.offset()
            if offset is None or offset >= end:
                return
            position = offset + 1
            yield message


def _watermark_of(record: Record) -> int:
    """0 when the symbol was removed. Raises BadRecord."""
    return snapshot_of(record).watermark if record.value else 0


def _stored(columns: TickColumns, watermark: int, ended: bool | None) -> Stored:
    return Stored(
        last_seq=int(columns.seq[-1]),
        last_ts=int(columns.ts_event[-1]),
        replay_shift=columns.replay_shift,
        watermark=watermark,
        ended=bool(ended),
    )


def _decoded(decode: Callable[[bytes], T], message: Message) -> T | None:
    record = to_record(message)
    try:
        return decode(record.value)
    except BadRecord as error:
        # The stream worker sends it to the dead letters; here it is only not ours to continue from.
        _pass_over(record, error)
        return None


def _pass_over(record: Record, error: BadRecord) -> None:
    metrics.UNREADABLE_RECORDS.labels(record.topic).inc()
    _log.warning("unreadable record passed over", topic=record.topic, partition=record.partition, offset=record.offset, error=str(error))


def _last_bars(columns: BarColumns) -> dict[str, tuple[int, int]]:
    last: dict[str, tuple[int, int]] = {}
    for row in range(len(columns)):
        last[columns.instruments[columns.instrument[row]].symbol] = (int(columns.ts_open[row]), int(columns.replay_shift[row]))
    return last
