"""From records to rows of one series each. Runs in the readers' threads, so that the event loop only hands out."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from signalbox.events.v1 import analysis_batch_pb2

from gateway.hub.history import FloatBlock, IntBlock
from gateway.hub.rows import SignalRow
from gateway.hub.series import INTERVAL_NAMES, NO_INTERVAL, Channel, SeriesKey
from services.runtime.columns import BarColumns, InstrumentRef, decode_bars, decode_indicators, decode_ticks
from services.runtime.errors import BadRecord
from services.runtime.headers import read_headers
from services.runtime.kafka import Record
from services.runtime.telemetry import is_sampled
from services.runtime.topics import BARS, INDICATORS, LIVE_BARS, SIGNALS, TICKS

MOST_ROWS = 500
"""Rows of a block. It is taken over whole: with more rows than a history keeps, subscribers would miss some."""

#: A symbol's and an interval's part in the number of a series within a batch.
_SYMBOL_STEP = 1_000_000


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int


class Block(NamedTuple):
    """Rows of one series, oldest first, as they came in one record."""

    key: SeriesKey
    ints: IntBlock
    """Columns as in TickRow or BarRow; of indicators ts_open, revision, source_kind, replay_shift; of signals empty, shape (n, 0)."""
    floats: FloatBlock | None = None
    """Values of indicators, shape (n, names)."""
    names: tuple[str, ...] = ()
    """Names of indicators."""
    signals: tuple[SignalRow, ...] = ()
    """Rows of signals."""
    traceparent: str | None = None
    """Trace context of the record."""
    place: Place | None = None
    """Where the record was read, if its trace is recorded."""


def blocks_of(record: Record) -> list[Block]:
    """The rows of a record. Raises BadRecord."""
    decode = _DECODERS[record.topic]
    traceparent = read_headers(record.headers).traceparent
    place = Place(record.topic, record.partition, record.offset) if is_sampled(traceparent) else None
    return [part._replace(traceparent=traceparent, place=place) for block in decode(record.value) for part in _parts(block)]


def _parts(block: Block) -> Iterator[Block]:
    for at in range(0, len(block.ints), MOST_ROWS):
        rows = slice(at, at + MOST_ROWS)
        floats = None if block.floats is None else block.floats[rows]
        yield block._replace(ints=block.ints[rows], floats=floats, signals=block.signals[rows])


def _ticks(data: bytes) -> Iterator[Block]:
    ticks = decode_ticks(data)
    rows = len(ticks)
    constant = [np.full(rows, value, np.int64) for value in (ticks.source_kind, ticks.replay_shift)]
    columns = [ticks.ts_event, ticks.ts_recv, ticks.price, ticks.size, ticks.seq, *constant, *_digits(ticks.instruments, ticks.instrument)]
    # The rest is judged by the bar engine, which says what became of it in market.late.v1.
    usable = (ticks.price > 0) & (ticks.size > 0) & (ticks.ts_event >= 0)
    matrix = _matrix(columns)[usable]
    for number, mask in _groups(ticks.instrument[usable].astype(np.int64)):
        yield Block(SeriesKey(Channel.TICKS, ticks.instruments[number].symbol, NO_INTERVAL), matrix[mask])


def _final_bars(data: bytes) -> Iterator[Block]:
    return _bars(decode_bars(data), Channel.BARS)


def _live_bars(data: bytes) -> Iterator[Block]:
    return _bars(decode_bars(data), Channel.LIVE_BARS)


def _bars(bars: BarColumns, channel: Channel) -> Iterator[Block]:
    received = bars.ts_recv if len(bars.ts_recv) else np.zeros(len(bars), np.int64)
    prices = (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.vwap, bars.trade_count)
    about = (bars.revision, bars.source_kind, bars.replay_shift, *_digits(bars.instruments, bars.instrument), received)
    matrix = _matrix([bars.ts_open, bars.ts_close, *prices, *about])
    for number, mask in _groups(bars.instrument.astype(np.int64) * _SYMBOL_STEP + bars.interval):
        symbol = bars.instruments[number // _SYMBOL_STEP].symbol
        yield Block(SeriesKey(channel, symbol, number % _SYMBOL_STEP), matrix[mask])


def _indicators(data: bytes) -> Iterator[Block]:
    rows = decode_indicators(data)
    matrix = _matrix([rows.ts_open, rows.revision, rows.source_kind, rows.replay_shift])
    for number, mask in _groups(rows.symbol.astype(np.int64) * _SYMBOL_STEP + rows.interval):
        symbol = rows.symbols[number // _SYMBOL_STEP]
        yield Block(SeriesKey(Channel.INDICATORS, symbol, number % _SYMBOL_STEP), matrix[mask], rows.values[mask], rows.names)


def _signals(data: bytes) -> Iterator[Block]:
    try:
        batch = analysis_batch_pb2.SignalBatch.FromString(data)
    except DecodeError as error:
        raise BadRecord(f"not a SignalBatch: {error}") from error
    for signal in batch.signals:
        _check_signal(signal)
        key = SeriesKey(Channel.SIGNALS, signal.symbol, signal.interval)
        yield Block(key, np.zeros((1, 0), np.int64), signals=(_signal_row(signal),))


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


def _digits(instruments: Sequence[InstrumentRef], instrument: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    price = np.array([each.price_digits for each in instruments], np.int64)
    size = np.array([each.size_digits for each in instruments], np.int64)
    return price[instrument], size[instrument]


def _matrix(columns: Sequence[NDArray[np.generic]]) -> IntBlock:
    return np.column_stack([column.astype(np.int64, copy=False) for column in columns])


def _groups(numbers: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.bool_] | slice]]:
    """Each number with where it stands; rows keep their order."""
    if len(numbers) and bool((numbers == numbers[0]).all()):
        yield int(numbers[0]), slice(None)
        return
    for number in np.unique(numbers).tolist():
        yield number, numbers == number


_DECODERS: dict[str, Callable[[bytes], Iterator[Block]]] = {
    TICKS.name: _ticks,
    BARS.name: _final_bars,
    LIVE_BARS.name: _live_bars,
    INDICATORS.name: _indicators,
    SIGNALS.name: _signals,
}
