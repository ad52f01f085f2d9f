"""Bars of one symbol on their way into the log, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from services.prices.instruments import Instrument
from services.runtime.columns import BarColumns, InstrumentRef
from services.runtime.errors import SignalboxError

#: Short names of the intervals, by seconds; a session's bar counts as a day's.
INTERVAL_NAMES = {1: "1s", 60: "1m", 300: "5m", 900: "15m", 3600: "1h", 86_400: "1d"}

Ints = NDArray[np.int64]


class SourceFailed(SignalboxError):
    """A symbol cannot be had from its source; others may."""

    reason = "SOURCE_FAILED"


class Row(NamedTuple):
    """One bar in fixed point; times UTC nanoseconds."""

    ts_open: int
    ts_close: int
    open: int
    high: int
    low: int
    close: int
    volume: int


@dataclass(frozen=True, slots=True)
class BarTable:
    """Bars of one symbol at one interval, oldest first, each open time once."""

    instrument: Instrument
    interval_s: int
    rows: Ints
    """Columns as in Row; shape (n, 7)."""
    source_kind: int
    """signalbox.events.v1.SourceKind."""

    def __len__(self) -> int:
        return len(self.rows)

    def missing_from(self, there: Ints) -> BarTable:
        """Those whose open times are not among `there`."""
        return BarTable(self.instrument, self.interval_s, self.rows[~np.isin(self.rows[:, 0], there)], self.source_kind)

    def columns(self, start: int, stop: int) -> BarColumns:
        """Some of the bars as a record holds them. The source tells no trades: vwap and trade count are unknown."""
        rows = self.rows[start:stop]
        count, unknown = len(rows), np.full(len(rows), -1, np.int64)
        by_name = {name: np.ascontiguousarray(rows[:, column]) for column, name in enumerate(Row._fields)}
        return BarColumns(
            instruments=(InstrumentRef(self.instrument.symbol, self.instrument.price_digits, self.instrument.size_digits),),
            instrument=np.zeros(count, np.uint32),
            interval=np.full(count, self.interval_s, np.uint32),
            **by_name,
            vwap=unknown,
            trade_count=unknown,
            revision=np.zeros(count, np.uint32),
            source_kind=np.full(count, self.source_kind, np.int32),
            replay_shift=np.zeros(count, np.int64),
            ts_recv=np.empty(0, np.int64),
        )


class HistorySource(Protocol):
    """Where bars of the past come from."""

    def symbols(self) -> Sequence[str]:
        """Those it can name; empty when it must be told."""
        ...

    async def bars(self, symbol: str, interval_s: int, start_ns: int, end_ns: int, stored_until_ns: int) -> BarTable:
        """Bars that open in [start_ns, end_ns). stored_until_ns: open time of the newest bar that the log holds of the series; -1 for none.

        Raises SourceFailed (this symbol cannot be had), Unavailable (the source does not answer now).
        """
        ...


def table_of(instrument: Instrument, interval_s: int, rows: Sequence[Row], source_kind: int) -> BarTable:
    """Rows in any order; of those with one open time the last counts, as a source that corrects itself writes it."""
    by_open = {row.ts_open: row for row in rows}
    ordered = [by_open[ts_open] for ts_open in sorted(by_open)]
    return BarTable(instrument, interval_s, np.array(ordered, np.int64).reshape(len(ordered), len(Row._fields)), source_kind)


def checked_row(times: tuple[int, int], prices: Sequence[int], volume: int) -> Row:
    """prices: open, high, low, close. Raises SourceFailed when they are not a bar's."""
    opened, high, low, close = prices
    if min(prices) <= 0 or volume < 0 or not low <= min(opened, close) <= max(opened, close) <= high:
        raise SourceFailed(f"the bar that opens at {times[0]} ns UTC: expected 0 < low <= open, close <= high and volume >= 0, was {prices} and {volume}")
    return Row(*times, opened, high, low, close, volume)


def fixed(value: object, digits: int) -> int:
    """A number in fixed point, rounded half to even: sources carry float noise (`293.32000732421875`). Raises SourceFailed."""
    try:
        return int(round(Decimal(str(value)).scaleb(digits), 0))
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise SourceFailed(f"expected a number, was {value!r}") from error
