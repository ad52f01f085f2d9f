"""From records of ticks and forming bars to tables: they are many, and most of them interest nobody.

So a record stays in one piece, and rows of one series are made only where somebody wants them. Made in the readers' threads.
"""

import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.hub.blocks import Block, Origin, bar_matrix, digits, groups, matrix, origin_of, parts_of
from gateway.hub.history import IntBlock
from gateway.hub.rows import BarRow
from gateway.hub.series import INTERVAL_NAMES, NO_INTERVAL, Channel, SeriesKey
from services.runtime.columns import decode_bars, decode_ticks, read_instruments
from services.runtime.engine_choice import PLAIN
from services.runtime.headers import read_headers
from services.runtime.kafka import Record
from services.runtime.topics import TICKS
from services.runtime.wire_codec import BarReader


class _Readers(threading.local):
    """Of each thread its own."""

    def __init__(self) -> None:
        self.forming = BarReader(forming=True)


_readers = _Readers()
#: By a number of seconds.
_IS_INTERVAL = np.isin(np.arange(max(INTERVAL_NAMES) + 1), list(INTERVAL_NAMES))
#: A symbol's part in the number of a series within a table.
_SYMBOL_STEP = 1_000_000


class Table(NamedTuple):
    """Rows of many series, in their order of arrival."""

    channel: Channel
    """TICKS or LIVE_BARS."""
    symbols: tuple[str, ...]
    """Those named here; not each has rows."""
    symbol: NDArray[np.int64]
    """Index in `symbols` of each row."""
    interval: NDArray[np.int64]
    """Seconds, of each row; NO_INTERVAL for ticks."""
    ints: IntBlock
    """Columns as in TickRow or BarRow."""
    traceparent: str | None = None
    """Trace context of the record."""
    origin: Origin | None = None
    """The record, if its trace is recorded."""

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.ints)

    def take(self, rows: NDArray[np.bool_]) -> "Table":
        """Some of the rows."""
        return self._replace(symbol=self.symbol[rows], interval=self.interval[rows], ints=self.ints[rows])

    def blocks(self) -> Iterator[Block]:
        """The rows by series, in blocks."""
        for number, rows in groups(self.symbol * _SYMBOL_STEP + self.interval):
            key = SeriesKey(self.channel, self.symbols[number // _SYMBOL_STEP], number % _SYMBOL_STEP)
            yield from parts_of(Block(key, self.ints[rows], traceparent=self.traceparent, origin=self.origin))


def table_of(record: Record) -> Table:
    """The rows of a record of ticks or forming bars; there may be none. Raises BadRecord."""
    traceparent = read_headers(record.headers).traceparent
    table = _ticks(record.value) if record.topic == TICKS.name else _live_bars(record.value)
    return table._replace(traceparent=traceparent, origin=origin_of(record, traceparent))


def _ticks(data: bytes) -> Table:
    ticks = decode_ticks(data)
    constant = [np.full(len(ticks), value, np.int64) for value in (ticks.source_kind, ticks.replay_shift)]
    columns = [ticks.ts_event, ticks.ts_recv, ticks.price, ticks.size, ticks.seq, *constant, *digits(ticks.instruments, ticks.instrument)]
    # The rest is judged by the bar engine, which says what became of it in market.late.v1.
    usable = (ticks.price > 0) & (ticks.size > 0) & (ticks.ts_event >= 0)
    symbols, symbol = tuple(each.symbol for each in ticks.instruments), ticks.instrument.astype(np.int64)
    return Table(Channel.TICKS, symbols, symbol, np.full(len(ticks), NO_INTERVAL, np.int64), matrix(columns)).take(usable)


def _live_bars(data: bytes) -> Table:
    return (None if PLAIN else _plain_live_bars(data)) or _any_live_bars(data)


def _plain_live_bars(data: bytes) -> Table | None:
    """By compiled code; None for a record that `decode_bars` has to look at."""
    found = _readers.forming.read(data)
    if found is None:
        return None
    rows, small = found.rows, found.small[:, : found.rows]
    refs = read_instruments(found.entries)
    symbols = tuple(ref.symbol for ref in refs)
    if len(set(symbols)) < len(symbols) or not bool(_IS_INTERVAL[small[1]].all()):
        return None
    ints = np.empty((rows, len(BarRow._fields)), np.int64)
    *wide, shift, received = found.wide[:, :rows]
    for place, column in enumerate((*wide, small[2], small[3], shift, *digits(refs, small[0]), received)):
        ints[:, place] = column
    return Table(Channel.LIVE_BARS, symbols, small[0].astype(np.int64), small[1].astype(np.int64), ints)


def _any_live_bars(data: bytes) -> Table:
    bars = decode_bars(data)
    symbols, symbol = tuple(each.symbol for each in bars.instruments), bars.instrument.astype(np.int64)
    return Table(Channel.LIVE_BARS, symbols, symbol, bars.interval.astype(np.int64), bar_matrix(bars))
