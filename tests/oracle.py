"""An independent statement of what final bars are, in plain Python: rows in lists, exact fractions, everything computed anew each time.

It shares no code with the engine. The rules are those of services/prices/bars.py, except that volumes cannot overflow here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import Any, NamedTuple

SECOND = 1_000_000_000
MAX_TIME = 7_258_118_400 * SECOND
FUTURE = 5 * SECOND
BAR_FINAL, IN_FUTURE, NOT_POSITIVE, OUT_OF_RANGE = 1, 2, 3, 4
REPLAY = 2
INTRADAY = (1, 60, 300, 900, 3600)
DAY = 86400

#: (mic, time) -> open and close of the session that holds the time.
SessionOf = Callable[[str, int], tuple[int, int] | None]


class Row(NamedTuple):
    """One tick. `arrival` counts rows over all batches."""

    symbol: str
    ts: int
    source: str
    seq: int
    arrival: int
    recv: int
    price: int
    size: int
    kind: int
    shift: int


class Bar(NamedTuple):
    """One bar, with the values of a BarBatch row."""

    symbol: str
    interval: int
    ts_open: int
    ts_close: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    vwap: int
    trade_count: int
    source_kind: int
    replay_shift: int


@dataclass
class Lane:
    """What one source said of one symbol."""

    highest: int = -1
    is_open: bool = False


@dataclass
class Source:
    """What one source said of all its symbols."""

    asserted: int = 0


@dataclass
class Oracle:
    """Feed it batches in the order of arrival; ask for bars at any time. lateness: ns."""

    lateness: int
    session_of: SessionOf
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    late: list[tuple[int, int]] = field(default_factory=list)
    duplicates: int = 0
    arrivals: int = 0
    lanes: dict[tuple[str, str], Lane] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=lambda: defaultdict(Source))
    watermarks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    promised: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """The largest mark that a source of the symbol had when it ended."""

    def feed(self, batch: Any) -> None:
        """Take a TickColumns. Late rows are noted as (arrival, reason)."""
        symbols = [ref[0] for ref in batch.instruments]
        for symbol in symbols:
            self.lanes.setdefault((batch.source, symbol), Lane())
        columns = (batch.instrument, batch.ts_event, batch.ts_recv, batch.price, batch.size, batch.seq)
        for instrument, ts, recv, price, size, seq in zip(*(column.tolist() for column in columns), strict=True):
            row = Row(symbols[instrument], ts, batch.source, seq, self.arrivals, recv, price, size, batch.source_kind, batch.replay_shift)
            self.arrivals += 1
            self._take(row)
        if batch.watermark or batch.source_ended:
            self._assert(batch, symbols)

    def _take(self, row: Row) -> None:
        reason = why_unusable(row)
        if not reason:
            lane = self.lanes[row.source, row.symbol]
            if not lane.is_open:
                lane.is_open = True
                self._advance(row.symbol)
            if (row.ts // SECOND + 1) * SECOND <= self.watermarks[row.symbol]:
                reason = BAR_FINAL
            elif self._is_pending(row):
                self.duplicates += 1
            else:
                self.rows[row.symbol].append(row)
            lane.highest = max(lane.highest, row.ts)
            self._advance(row.symbol)
        if reason:
            self.late.append((row.arrival, reason))

    def _is_pending(self, row: Row) -> bool:
        """Whether a row that is not final yet has the same identity."""
        same = (row.source, row.seq, row.shift)
        mark = self.watermarks[row.symbol]
        return row.seq > 0 and any((r.source, r.seq, r.shift) == same and (r.ts // SECOND + 1) * SECOND > mark for r in self.rows[row.symbol])

    def _assert(self, batch: Any, symbols: list[str]) -> None:
        source = self.sources[batch.source]
        source.asserted = max(source.asserted, batch.watermark)
        for symbol in symbols:
            self.lanes[batch.source, symbol].is_open = True
        for symbol in [of for name, of in self.lanes if name == batch.source]:
            if batch.source_ended:
                lane = self.lanes.pop((batch.source, symbol))
                self.promised[symbol] = max(self.promised[symbol], self._mark(batch.source, lane) if lane.is_open else 0)
            self._advance(symbol)
        if batch.source_ended:
            del self.sources[batch.source]

    def _mark(self, name: str, lane: Lane) -> int:
        return max(lane.highest - self.lateness, self.sources[name].asserted)

    def _advance(self, symbol: str) -> None:
        opened = [self._mark(name, lane) for (name, of), lane in self.lanes.items() if of == symbol and lane.is_open]
        self.watermarks[symbol] = max(self.watermarks[symbol], min(opened) if opened else self.promised[symbol])

    def final_bars(self) -> list[Bar]:
        """Bars that are final by now, sorted by identity."""
        return sorted(bar for symbol in self.rows for bar in bars_of(self.rows[symbol], self.session_of) if bar.ts_close <= self.watermarks[symbol])

    def forming_bars(self) -> list[Bar]:
        """Bars that have rows and are not final yet, sorted by identity."""
        return sorted(bar for symbol in self.rows for bar in bars_of(self.rows[symbol], self.session_of) if bar.ts_close > self.watermarks[symbol])


def why_unusable(row: Row) -> int:
    """LateReason, 0 = can be used."""
    if row.price <= 0 or row.size <= 0:
        return NOT_POSITIVE
    margin = 7 * DAY * SECOND if row.shift else 0
    if not (margin <= row.ts < MAX_TIME - margin and 0 <= row.ts - row.shift < MAX_TIME) or row.price > (2**63 - 1) // 10_000:
        return OUT_OF_RANGE
    return IN_FUTURE if row.kind != REPLAY and row.ts > row.recv + FUTURE else 0


def bars_of(rows: Iterable[Row], session_of: SessionOf) -> list[Bar]:
    """All bars of one symbol's rows, final or not."""
    ordered = sorted(rows, key=lambda row: (row.ts, row.source, row.seq, row.arrival))
    bars = []
    seconds = [list(group) for _, group in groupby(ordered, key=lambda row: row.ts // SECOND)]
    for interval in INTRADAY:
        length = interval * SECOND
        for number, group in groupby(seconds, key=lambda second: second[0].ts // length):
            bars.append(bar_of([row for second in group for row in second], interval, number * length, (number + 1) * length))
    for session, group in groupby(seconds, key=lambda second: session_of_second(second[0], session_of)):
        if session is not None:
            bars.append(bar_of([row for second in group for row in second], DAY, *session))
    return bars


def session_of_second(first: Row, session_of: SessionOf) -> tuple[int, int] | None:
    """The session that holds the second of a row, moved as the row is."""
    found = session_of(first.symbol.rpartition(".")[2], first.ts // SECOND * SECOND - first.shift)
    return None if found is None else (found[0] + first.shift, found[1] + first.shift)


def bar_of(rows: list[Row], interval: int, ts_open: int, ts_close: int) -> Bar:
    """The bar of ordered rows. round() of a Fraction rounds half to even."""
    prices, volume = [row.price for row in rows], sum(row.size for row in rows)
    vwap = round(Fraction(sum(row.price * row.size for row in rows) * 10_000, volume))
    kind, shift = max(row.kind for row in rows), rows[0].shift
    return Bar(rows[0].symbol, interval, ts_open, ts_close, prices[0], max(prices), min(prices), prices[-1], volume, vwap, len(rows), kind, shift)
