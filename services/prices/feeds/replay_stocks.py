"""Feed `replay-stocks`: recorded daily bars; all years but the last at once, the last one session after the other, again and again.

No trades are made up from bars: they go to market.bars.v1 as they are, without vwap and trade count.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from signalbox.events.v1 import tick_batch_pb2

from services.prices.feeds.outbox import Outbox
from services.prices.feeds.pacing import HEARTBEAT_S
from services.prices.feeds.ports import NS
from services.prices.feeds.shift import weeks_after
from services.prices.feeds.stocks_file import DailyBars
from services.prices.instruments import instrument_of
from services.runtime.clock import Clock
from services.runtime.columns import BarColumns, InstrumentRef, encode_bars
from services.runtime.headers import record_headers
from services.runtime.partitions import partition_of
from services.runtime.record_spans import sending
from services.runtime.timestamps import MAX_TIME_NS
from services.runtime.topics import BARS

Rows = NDArray[np.intp]

_DAY_S = 86_400
_YEAR_NS = 365 * _DAY_S * NS
#: Rows in one record: some 200 kB.
_MAX_ROWS = 2_048

#: By symbol: ts_open and replay_shift of the newest bar that the log holds.
StoredBars = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class BarStep:
    """Bars that are due: rows of the file, moved by a whole number of weeks (nanoseconds). No rows: nothing is due yet."""

    rows: Rows
    shift: int


class ReplayStocks:
    """The bars of a file as an endless feed. interval_s: seconds of wall time for each session."""

    name = "replay-stocks"
    source = "replay:stocks"
    source_kind = tick_batch_pb2.SOURCE_KIND_REPLAY

    def __init__(self, bars: DailyBars, interval_s: float, clock: Clock) -> None:
        self._bars, self._interval_s, self._clock = bars, interval_s, clock
        self._live_row = int(np.searchsorted(bars.ts_open, bars.ts_open[-1] - _YEAR_NS, side="right"))
        first_of_session = np.flatnonzero(np.diff(bars.ts_open[self._live_row :], prepend=-1)) + self._live_row
        self._sessions: list[Rows] = np.split(np.arange(self._live_row, len(bars)), first_of_session[1:] - self._live_row)

    @property
    def live_row(self) -> int:
        """Index of the first bar that is replayed and not history."""
        return self._live_row

    async def steps(self, stored: StoredBars) -> AsyncGenerator[BarStep, None]:
        """History that is not stored yet, then the last year in loops, until the calendar of our records ends."""
        for first in range(0, self._live_row, _MAX_ROWS):
            yield BarStep(self._missing(np.arange(first, min(first + _MAX_ROWS, self._live_row)), 0, stored), 0)
        shift = max((shift for _, shift in stored.values()), default=0)
        while int(self._bars.ts_close[-1]) + shift < MAX_TIME_NS:
            async for step in self._loop(shift, stored):
                yield step
            shift = weeks_after(int(self._bars.ts_open[self._live_row]), int(self._bars.ts_close[-1]) + shift)

    async def _loop(self, shift: int, stored: StoredBars) -> AsyncGenerator[BarStep, None]:
        due = self._clock.monotonic_ns()
        for session in self._sessions:
            rows = self._missing(session, shift, stored)
            if len(rows) == 0:
                continue
            while (wait_ns := due - self._clock.monotonic_ns()) > 0:
                yield BarStep(rows[:0], shift)
                await self._clock.sleep(min(wait_ns / NS, HEARTBEAT_S))
            yield BarStep(rows, shift)
            due += round(self._interval_s * NS)

    def _missing(self, rows: Rows, shift: int, stored: StoredBars) -> Rows:
        """Those of the rows that are newer than what the log holds of their symbol."""
        newest = np.array([stored.get(symbol, (-1, 0))[0] for symbol in self._bars.symbols], np.int64)
        return rows[self._bars.ts_open[rows] + shift > newest[self._bars.symbol[rows]]]


class BarWriter:
    """Writes rows of a file of bars to market.bars.v1. partitions: number of partitions of the topic."""

    def __init__(self, bars: DailyBars, outbox: Outbox, partitions: int) -> None:
        self._bars, self._outbox = bars, outbox
        found = [instrument_of(symbol) for symbol in bars.symbols]
        self._instruments = tuple(InstrumentRef(each.symbol, each.price_digits, each.size_digits) for each in found)
        self._partitions = np.array([partition_of(symbol, partitions) for symbol in bars.symbols])

    async def write(self, step: BarStep) -> None:
        """Sends the bars in their order, one record for each partition. Raises DeliveryFailed."""
        of_row = self._partitions[self._bars.symbol[step.rows]]
        for partition in np.unique(of_row):
            columns = self._columns(step.rows[of_row == partition], step.shift)
            identity = f"{self._outbox.source}/{partition}/{columns.ts_open[0]}-{columns.ts_open[-1]}"
            with sending(BARS.name, int(partition), rows=len(columns), symbols=len(columns.instruments)) as traceparent:
                headers = record_headers("BarBatch", identity, traceparent, feed=self._outbox.source)
                await self._outbox.send(BARS.name, int(partition), encode_bars(columns), headers, len(columns))

    def _columns(self, rows: Rows, shift: int) -> BarColumns:
        bars, unknown = self._bars, np.full(len(rows), -1, np.int64)
        used, instrument = np.unique(bars.symbol[rows], return_inverse=True)
        return BarColumns(
            instruments=tuple(self._instruments[index] for index in used),
            instrument=instrument.astype(np.uint32),
            interval=np.full(len(rows), _DAY_S, np.uint32),
            ts_open=bars.ts_open[rows] + shift,
            ts_close=bars.ts_close[rows] + shift,
            open=bars.open[rows],
            high=bars.high[rows],
            low=bars.low[rows],
            close=bars.close[rows],
            volume=bars.volume[rows],
            vwap=unknown,
            trade_count=unknown,
            revision=np.zeros(len(rows), np.uint32),
            source_kind=np.full(len(rows), ReplayStocks.source_kind, np.int32),
            replay_shift=np.full(len(rows), shift, np.int64),
            ts_recv=np.empty(0, np.int64),
        )
