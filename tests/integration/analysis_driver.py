"""Drives the processes of analysis in tests: bars into a real broker, processes that are started and killed, and what they wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from signalbox.events.v1.analysis_batch_pb2 import SignalBatch, SignalRow

from services.analysis.indicators.kernels import FloatArray
from services.runtime.columns import BarColumns, IndicatorColumns, InstrumentRef, decode_indicators, encode_bars
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.partitions import partition_of
from services.runtime.topics import BARS, INDICATORS, SIGNALS
from tests.processes import PATIENCE_SECONDS
from tests.unit.analysis import series

PARTITIONS = 4
DAY_NS = series.DAY_NS

#: Symbol, interval in seconds, open time in ns.
RowKey = tuple[str, int, int]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Series:
    """Final bars of one series in cents."""

    symbol: str
    interval: int
    ts_open: list[int]
    high: FloatArray
    low: FloatArray
    close: FloatArray


def daily_series(ticker: str, mic: str) -> Series:
    """Real daily bars, rounded to cents, one a day from 2000 on."""
    bars = {name: np.round(values * 100) / 100 for name, values in series.daily(ticker).items()}
    opens = [(11_000 + day) * DAY_NS for day in range(len(bars["Close"]))]
    return Series(f"{ticker}.{mic}", 86400, opens, bars["High"], bars["Low"], bars["Close"])


def walk_series(symbol: str, interval: int, count: int, seed: int) -> Series:
    """A random walk in cents."""
    return Series(symbol, interval, [(10**9 + at * interval) * 10**9 for at in range(count)], *series.walk(count, seed))


def bar_batch(parts: Sequence[tuple[Series, slice]]) -> BarColumns:
    """Rows of several series in one batch. Volume is 1 + row."""
    instruments = tuple(dict.fromkeys(InstrumentRef(part.symbol, 2, 0) for part, _ in parts))
    place = {item.symbol: at for at, item in enumerate(instruments)}
    columns: dict[str, list[int]] = {name: [] for name in ("instrument", "interval", "ts_open", "ts_close", "high", "low", "close", "volume")}
    for part, cut in parts:
        opens = part.ts_open[cut]
        columns["instrument"] += [place[part.symbol]] * len(opens)
        columns["interval"] += [part.interval] * len(opens)
        columns["ts_open"] += opens
        columns["ts_close"] += [at + part.interval * 10**9 for at in opens]
        columns["volume"] += [at + 1 for at in range(*cut.indices(len(part.ts_open)))]
        for name in ("high", "low", "close"):
            columns[name] += np.round(getattr(part, name)[cut] * 100).astype(np.int64).tolist()
    return _columns(instruments, columns)


def _columns(instruments: tuple[InstrumentRef, ...], columns: dict[str, list[int]]) -> BarColumns:
    count = len(columns["instrument"])
    wide = {name: np.array(values, np.int64) for name, values in columns.items()}
    unknown = np.full(count, -1, np.int64)
    return BarColumns(
        instruments=instruments,
        instrument=wide["instrument"].astype(np.uint32),
        interval=wide["interval"].astype(np.uint32),
        ts_open=wide["ts_open"],
        ts_close=wide["ts_close"],
        open=wide["close"],
        high=wide["high"],
        low=wide["low"],
        close=wide["close"],
        volume=wide["volume"],
        vwap=unknown,
        trade_count=unknown,
        revision=np.zeros(count, np.uint32),
        source_kind=np.full(count, 2, np.int32),
        replay_shift=np.zeros(count, np.int64),
        ts_recv=np.empty(0, np.int64),
    )


class Feed:
    """Writes bars to market.bars.v1."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = make_producer(bootstrap)
        self._count = 0

    def send(self, columns: BarColumns) -> None:
        """One record; all its symbols must be of one partition."""
        (partition,) = {partition_of(item.symbol, PARTITIONS) for item in columns.instruments}
        self._produce(encode_bars(columns), partition)

    def send_raw(self, value: bytes, partition: int = 0) -> None:
        """Any bytes."""
        self._produce(value, partition)

    def _produce(self, value: bytes, partition: int) -> None:
        self._count += 1
        headers: list[tuple[str, str | bytes | None]] = [*record_headers(BARS.message, f"test-{self._count}")]
        self._producer.produce(BARS.name, value, partition=partition, headers=headers)

    def send_all(self, parts: Sequence[Series], rows: int, share: tuple[float, float] = (0.0, 1.0)) -> None:
        """All bars, `rows` of each series a record, the series of one partition together. share: which part of the records, from and to, 0 to 1."""
        by_partition: dict[int, list[Series]] = {}
        for part in parts:
            by_partition.setdefault(partition_of(part.symbol, PARTITIONS), []).append(part)
        for group in by_partition.values():
            starts = range(0, max(len(part.ts_open) for part in group), rows)
            for start in starts[round(len(starts) * share[0]) : round(len(starts) * share[1])]:
                self.send(bar_batch([(part, slice(start, start + rows)) for part in group if start < len(part.ts_open)]))
        self.flush()

    def flush(self) -> None:
        assert self._producer.flush(PATIENCE_SECONDS) == 0


@dataclass
class Written:
    """What the worker wrote, each row once; reading fails when two of one identity differ."""

    values: dict[RowKey, tuple[bytes, int]] = field(default_factory=dict)
    """Value columns as bytes, and the origin."""
    signals: dict[tuple[RowKey, str], bytes] = field(default_factory=dict)
    """The row as bytes."""
    repeated: int = 0
    names: tuple[str, ...] = ()


class Reader:
    """Reads analysis.indicators.v1 and analysis.signals.v1 from their beginnings, further with each call."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "test",
                "enable.partition.eof": True,
                "fetch.queue.backoff.ms": 10,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        self._next = {(topic.name, partition): 0 for topic in (INDICATORS, SIGNALS) for partition in range(PARTITIONS)}
        self.written = Written()

    def read(self) -> Written:
        """Everything up to now."""
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])
        ends = 0
        while ends < len(self._next):
            message = self._consumer.poll(10)
            assert message is not None, "the broker does not answer"
            if message.error() is not None:
                ends += 1
            else:
                self._add(message.topic() or "", message.partition() or 0, message.offset() or 0, message.value() or b"")
        return self.written

    def _add(self, topic: str, partition: int, offset: int, value: bytes) -> None:
        self._next[topic, partition] = offset + 1
        if topic == INDICATORS.name:
            self._add_values(decode_indicators(value))
        else:
            self._add_signals(SignalBatch.FromString(value).signals)

    def close(self) -> None:
        self._consumer.close()

    def _add_values(self, columns: IndicatorColumns) -> None:
        self.written.names = columns.names
        for row, (symbol, interval, ts_open) in enumerate(zip(columns.symbol, columns.interval, columns.ts_open, strict=True)):
            key = (columns.symbols[symbol], int(interval), int(ts_open))
            self._put(self.written.values, key, (columns.values[row].tobytes(), int(columns.origin[row])))

    def _add_signals(self, rows: Sequence[SignalRow]) -> None:
        for row in rows:
            self._put(self.written.signals, ((row.symbol, row.interval, row.ts_open), row.type), row.SerializeToString(deterministic=True))

    def _put(self, known: dict[K, V], key: K, value: V) -> None:
        if key in known:
            self.written.repeated += 1
        assert known.setdefault(key, value) == value, f"{key} was written twice, differently"
