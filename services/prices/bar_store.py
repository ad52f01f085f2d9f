"""All final bars in memory, with the place in the topic up to which they are complete."""

import threading
from dataclasses import dataclass

import numpy as np

from services.prices.bar_series import BAR, BarRows, BarSeries
from services.prices.errors import UnknownSeries
from services.prices.metrics import BARS_KEPT, BARS_REPEATED, SERIES_KEPT
from services.runtime.columns import BarColumns
from services.runtime.partitions import partition_of

#: Short names of the intervals, by seconds.
INTERVAL_NAMES = {1: "1s", 60: "1m", 300: "5m", 900: "15m", 3600: "1h", 86400: "1d"}
SESSION = 86400

_FIXED = tuple(name for name in BAR.names or () if not name.endswith("_digits"))


@dataclass(frozen=True, slots=True)
class Selection:
    """An answer of the store: rows and position belong to the same moment."""

    rows: BarRows
    """The first `limit` bars of the range, oldest first; a copy."""
    last_open_ns: int
    """Open time of the last bar of the whole range; -1 when the range is empty."""
    more: bool
    """Whether the range has bars after `rows`."""
    origin_ns: int
    """Open time of the first bar kept of this series."""
    partition: int
    next_offset: int
    """First record of the partition that is not in the store."""


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """One series that is kept."""

    symbol: str
    interval: int
    first_open_ns: int
    last_open_ns: int
    bars: int
    source_kind: int


class BarStore:
    """Bars by (symbol, interval in seconds). Written by a reader's thread, asked from others; every answer is consistent.

    partitions: of the topic. limit: bars kept in each series.
    """

    def __init__(self, partitions: int, limit: int) -> None:
        self._partitions, self._limit = partitions, limit
        self._series: dict[tuple[str, int], BarSeries] = {}
        self._next_offset: dict[int, int] = {}
        self._lock = threading.Lock()
        self._kept = 0
        self.sessions_version = 0
        """Grows with each change of daily bars: what was computed from them at an equal version is as good as new."""

    def add(self, bars: BarColumns, partition: int, offset: int) -> None:
        """Adds the rows of the record at `offset`. A record that was there already changes nothing."""
        rows = _rows(bars)
        key = bars.instrument.astype(np.int64) * (SESSION + 1) + bars.interval
        with self._lock:
            for value in np.unique(key):
                instrument, interval = divmod(int(value), SESSION + 1)
                self._add(bars.instruments[instrument].symbol, interval, rows[key == value])
            self._advance(partition, offset + 1)
        BARS_KEPT.set(self._kept)
        SERIES_KEPT.set(len(self._series))

    def skip(self, partition: int, offset: int) -> None:
        """Notes that the record at `offset` was read and holds nothing that can be used."""
        with self._lock:
            self._advance(partition, offset + 1)

    def _add(self, symbol: str, interval: int, rows: BarRows) -> None:
        series = self._series.get((symbol, interval))
        if series is None:
            series = self._series[symbol, interval] = BarSeries(self._limit)
        before = len(series)
        BARS_REPEATED.inc(series.add(rows))
        self._kept += len(series) - before
        self.sessions_version += interval == SESSION

    def _advance(self, partition: int, next_offset: int) -> None:
        self._next_offset[partition] = max(next_offset, self._next_offset.get(partition, 0))

    def select(self, symbol: str, interval: int, start_ns: int | None, end_ns: int | None, *, last: int = 0, limit: int | None = None) -> Selection:
        """Bars that open in [start_ns, end_ns), of these the last `last` (0: all), of these the first `limit`. Raises UnknownSeries."""
        partition = partition_of(symbol, self._partitions)
        with self._lock:
            series = self._series.get((symbol, interval))
            if series is None or not len(series):
                raise UnknownSeries(symbol, INTERVAL_NAMES[interval])
            kept = series.rows
            opens = kept["ts_open"]
            begin = 0 if start_ns is None else int(np.searchsorted(opens, start_ns))
            end = len(opens) if end_ns is None else int(np.searchsorted(opens, end_ns))
            begin = max(begin, end - last) if last else begin
            stop = end if limit is None else min(end, begin + limit)
            return Selection(
                rows=kept[begin:stop].copy(),
                last_open_ns=int(opens[end - 1]) if end > begin else -1,
                more=stop < end,
                origin_ns=int(opens[0]),
                partition=partition,
                next_offset=self._next_offset.get(partition, 0),
            )

    def last_sessions(self, symbol: str, closed_by_ns: int | None, count: int) -> BarRows:
        """The last `count` daily bars that close at or before `closed_by_ns` (None: all), oldest first; fewer when there are not so many."""
        with self._lock:
            series = self._series.get((symbol, SESSION))
            if series is None:
                return np.empty(0, BAR)
            kept = series.rows
            end = len(kept) if closed_by_ns is None else int(np.searchsorted(kept["ts_close"], closed_by_ns, side="right"))
            return kept[max(0, end - count) : end].copy()

    def summaries(self) -> list[SeriesSummary]:
        """Every series, by symbol, then interval."""
        with self._lock:
            return [_summary(symbol, interval, series.rows) for (symbol, interval), series in sorted(self._series.items()) if len(series)]


def _summary(symbol: str, interval: int, rows: BarRows) -> SeriesSummary:
    return SeriesSummary(symbol, interval, int(rows["ts_open"][0]), int(rows["ts_open"][-1]), len(rows), int(rows["source_kind"][-1]))


def _rows(bars: BarColumns) -> BarRows:
    rows = np.empty(len(bars), BAR)
    for name in _FIXED:
        rows[name] = getattr(bars, name)
    digits = np.array([(item.price_digits, item.size_digits) for item in bars.instruments], np.uint8).reshape(-1, 2)
    rows["price_digits"], rows["size_digits"] = digits[bars.instrument].T
    return rows
