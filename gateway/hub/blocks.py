"""From records of final rows to rows of one series each. Runs in the readers' threads, so that the event loop only hands out."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from signalbox.events.v1 import analysis_batch_pb2

from gateway.hub.history import FloatBlock, IntBlock
from gateway.hub.rows import SignalRow
from gateway.hub.series import INTERVAL_NAMES, Channel, SeriesKey
from services.runtime.columns import BarColumns, IndicatorColumns, InstrumentRef, decode_bars, decode_indicators
from services.runtime.columns_many import decode_many_bars, decode_many_indicators
from services.runtime.errors import BadRecord
from services.runtime.headers import read_headers
from services.runtime.kafka import Record
from services.runtime.telemetry import is_sampled
from services.runtime.topics import BARS, INDICATORS, SIGNALS

MOST_ROWS = 500
"""Rows of a block. It is taken over whole: with more rows than a history keeps, subscribers would miss some."""

#: A symbol's and an interval's part in the number of a series within a batch.
_SYMBOL_STEP = 1_000_000


class Origin(NamedTuple):
    """A record whose trace is recorded."""

    topic: str
    partition: int
    offset: int
    traceparent: str


def origin_of(record: Record, traceparent: str | None) -> Origin | None:
    """The record with its trace context; None when its trace is not recorded."""
    return Origin(record.topic, record.partition, record.offset, traceparent) if traceparent is not None and is_sampled(traceparent) else None


class Block(NamedTuple):
    """Rows of one series, oldest first, as they came in one record."""

    key: SeriesKey
    ints: IntBlock
    """Columns as in BarRow or TickRow; of indicators ts_open, revision, source_kind, replay_shift; of signals empty, shape (n, 0)."""
    floats: FloatBlock | None = None
    """Values of indicators, shape (n, names)."""
    names: tuple[str, ...] = ()
    """Names of indicators."""
    signals: tuple[SignalRow, ...] = ()
    """Rows of signals."""
    traceparent: str | None = None
    """Trace context of the record."""
    origin: Origin | None = None
    """The record, if its trace is recorded."""

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.ints)


def blocks_of(record: Record) -> list[Block]:
    """The rows of a record of final bars, indicators or signals. Raises BadRecord."""
    decode = _DECODERS[record.topic]
    traceparent = read_headers(record.headers).traceparent
    origin = origin_of(record, traceparent)
    return [part for block in decode(record.value, traceparent, origin) for part in parts_of(block)]


def blocks_of_backlog(topic: str, values: Sequence[bytes]) -> list[Block]:
    """The rows of many records of final bars, or of indicators, together and without their traces. Raises BadRecord when one of them is bad."""
    blocks = _bar_blocks(decode_many_bars(values)) if topic == BARS.name else _indicator_blocks(decode_many_indicators(values))
    return [part for block in blocks for part in parts_of(block)]


def parts_of(block: Block) -> Iterator[Block]:
    """The block in parts of at most MOST_ROWS."""
    if len(block.ints) <= MOST_ROWS:
        yield block
        return
    for at in range(0, len(block.ints), MOST_ROWS):
        rows = slice(at, at + MOST_ROWS)
        floats = None if block.floats is None else block.floats[rows]
        yield block._replace(ints=block.ints[rows], floats=floats, signals=block.signals[rows])


def _bars(data: bytes, traceparent: str | None, origin: Origin | None) -> Iterator[Block]:
    return _bar_blocks(decode_bars(data), traceparent, origin)


def _bar_blocks(bars: BarColumns, traceparent: str | None = None, origin: Origin | None = None) -> Iterator[Block]:
    rows = bar_matrix(bars)
    for number, at in groups(bars.instrument.astype(np.int64) * _SYMBOL_STEP + bars.interval):
        key = SeriesKey(Channel.BARS, bars.instruments[number // _SYMBOL_STEP].symbol, number % _SYMBOL_STEP)
        yield Block(key, rows[at], None, (), (), traceparent, origin)


def bar_matrix(bars: BarColumns) -> IntBlock:
    """Bars with the columns of BarRow."""
    received = bars.ts_recv if len(bars.ts_recv) else np.zeros(len(bars), np.int64)
    prices = (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.vwap, bars.trade_count)
    about = (bars.revision, bars.source_kind, bars.replay_shift, *digits(bars.instruments, bars.instrument), received)
    return matrix([bars.ts_open, bars.ts_close, *prices, *about])


def _indicators(data: bytes, traceparent: str | None, origin: Origin | None) -> Iterator[Block]:
    return _indicator_blocks(decode_indicators(data), traceparent, origin)


def _indicator_blocks(rows: IndicatorColumns, traceparent: str | None = None, origin: Origin | None = None) -> Iterator[Block]:
    ints = matrix([rows.ts_open, rows.revision, rows.source_kind, rows.replay_shift])
    for number, at in groups(rows.symbol.astype(np.int64) * _SYMBOL_STEP + rows.interval):
        key = SeriesKey(Channel.INDICATORS, rows.symbols[number // _SYMBOL_STEP], number % _SYMBOL_STEP)
        yield Block(key, ints[at], rows.values[at], rows.names, (), traceparent, origin)


def _signals(data: bytes, traceparent: str | None, origin: Origin | None) -> Iterator[Block]:
    try:
        batch = analysis_batch_pb2.SignalBatch.FromString(data)
    except DecodeError as error:
        raise BadRecord(f"not a SignalBatch: {error}") from error
    for signal in batch.signals:
        _check_signal(signal)
        key = SeriesKey(Channel.SIGNALS, signal.symbol, signal.interval)
        yield Block(key, np.zeros((1, 0), np.int64), None, (), (_signal_row(signal),), traceparent, origin)


def _check_signal(signal: analysis_batch_pb2.SignalRow) -> None:
    if signal.interval not in INTERVAL_NAMES:
        raise BadRecord(f"interval: expected one of {tuple(INTERVAL_NAMES)}, was {signal.interval}")
    if len(signal.value_names) != len(signal.values):
        raise BadRecord(f"values: expected {len(signal.value_names)}, was {len(signal.values)}")
    if not 1 <= signal.source_kind <= 3:
        raise BadRecord(f"source_kind: expected 1 to 3, was {signal.source_kind}")


def _signal_row(signal: analysis_batch_pb2.SignalRow) -> SignalRow:
    return SignalRow(
        signal.ts_open,
        signal.ts_close,
        signal.revision,
        signal.type,
        signal.direction,
        signal.price,
        signal.volume,
        signal.strength,
        tuple(signal.value_names),
        tuple(signal.values),
        signal.source_kind,
        signal.replay_shift,
    )


def digits(instruments: Sequence[InstrumentRef], instrument: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Digits of price and of size for each row."""
    price = np.array([each.price_digits for each in instruments], np.int64)
    size = np.array([each.size_digits for each in instruments], np.int64)
    return price[instrument], size[instrument]


def matrix(columns: Sequence[NDArray[np.generic]]) -> IntBlock:
    """Columns side by side."""
    return np.column_stack([column.astype(np.int64, copy=False) for column in columns])


def groups(numbers: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64] | slice]]:
    """Each number with the places where it stands; rows keep their order."""
    if not len(numbers):
        return
    changes = numbers[1:] != numbers[:-1]
    if not changes.any():
        yield int(numbers[0]), slice(None)
        return
    if bool((numbers[1:] >= numbers[:-1]).all()):
        # Records are sorted when they are written.
        cuts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(numbers)]
        yield from zip(numbers[cuts[:-1]].tolist(), map(slice, cuts[:-1], cuts[1:]), strict=True)
        return
    order = np.argsort(numbers, kind="stable")
    ascending = numbers[order]
    cuts = (np.flatnonzero(ascending[1:] != ascending[:-1]) + 1).tolist()
    yield from zip(ascending[[0, *cuts]].tolist(), np.split(order, cuts), strict=True)


_DECODERS: dict[str, Callable[[bytes, str | None, Origin | None], Iterator[Block]]] = {
    BARS.name: _bars,
    INDICATORS.name: _indicators,
    SIGNALS.name: _signals,
}
