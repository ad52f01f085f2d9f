"""From records of ticks and forming bars to tables: they are many, and most of them interest nobody.

So a record stays in one piece, and rows of one series are made only where somebody wants them. Made in the readers' threads.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.hub.blocks import Block, Origin, bar_matrix, digits, groups, matrix, origin_of, parts_of
from gateway.hub.history import IntBlock
from gateway.hub.series import NO_INTERVAL, Channel, SeriesKey
from services.runtime.columns import decode_bars, decode_ticks
from services.runtime.headers import read_headers
from services.runtime.kafka import Record
from services.runtime.topics import TICKS

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
    bars = decode_bars(data)
    symbols, symbol = tuple(each.symbol for each in bars.instruments), bars.instrument.astype(np.int64)
    return Table(Channel.LIVE_BARS, symbols, symbol, bars.interval.astype(np.int64), bar_matrix(bars))
