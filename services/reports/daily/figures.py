"""The figures of one symbol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np

from services.reports.daily.model import CHART_SESSIONS, ChartSeries, Extreme, Extremes, FloatArray, IntArray, Marker, Session, SuspectedSplit
from services.reports.daily.recorded import INDICATORS, SIGNAL_TYPES, BarsRecord, SymbolRecord
from services.reports.daily.sessions import day_text, day_texts, session_days
from services.reports.daily.splits import suspected_splits
from services.reports.daily.wording import SIGNAL_WORDS

#: 52 weeks, in days.
_YEAR_DAYS = 364
#: Sessions of the volume's average.
_VOLUME_SESSIONS = 20
#: Averages over so many sessions are touched by a split that long.
_LONGEST_AVERAGE = 200
_SOURCES = {1: "live", 2: "replay", 3: "synthetic"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SymbolSeries:
    """A symbol's record with what is worked out of it once."""

    record: SymbolRecord
    days: IntArray
    """Of its sessions, since 1970; shape (n,)."""
    splits: tuple[tuple[int, SuspectedSplit], ...]
    """Bars that opened after a suspected split."""

    @property
    def bars(self) -> BarsRecord:
        """Its bars."""
        return self.record.bars

    @property
    def last_day(self) -> int:
        """Day of the last session."""
        return int(self.days[-1])

    def has_signal_at(self, row: int) -> IntArray:
        """Positions of the signals at a bar."""
        return np.flatnonzero(self.record.signals.row == row)


def series_of(record: SymbolRecord) -> SymbolSeries:
    """record: has bars."""
    days = session_days(record.bars.ts_close)
    return SymbolSeries(record, days, suspected_splits(days, record.bars.open, record.bars.close))


def session(series: SymbolSeries, row: int) -> Session:
    """One bar."""
    bars = series.bars
    return Session(
        date=day_text(int(series.days[row])),
        ts_open=int(bars.ts_open[row]),
        ts_close=int(bars.ts_close[row]),
        open=float(bars.open[row]),
        high=float(bars.high[row]),
        low=float(bars.low[row]),
        close=float(bars.close[row]),
        volume=float(bars.volume[row]),
    )


def source_of(series: SymbolSeries) -> str:
    """`live`, `replay` or `synthetic`; that of the last bar."""
    return _SOURCES.get(int(series.bars.source_kind[-1]), "unknown")


def fraction(value: float, reference: float) -> float | None:
    """value against reference: 0.05 is 5 % above; None where the reference is 0."""
    return value / reference - 1.0 if reference else None


def extremes(series: SymbolSeries) -> Extremes:
    """Highs and lows since prices can be compared."""
    begin = series.splits[-1][0] if series.splits else 0
    year = max(begin, int(np.searchsorted(series.days, series.last_day - _YEAR_DAYS, side="right")))
    return Extremes(
        high_52w=_extreme(series, series.bars.high, year, 1.0),
        low_52w=_extreme(series, series.bars.low, year, -1.0),
        weeks_52_complete=bool(series.days[begin] <= series.last_day - _YEAR_DAYS + 1),
        high_ever=_extreme(series, series.bars.high, begin, 1.0),
        since=day_text(int(series.days[begin])),
    )


def _extreme(series: SymbolSeries, prices: FloatArray, begin: int, sign: float) -> Extreme:
    """The first of the highest (sign 1) or lowest (-1) prices from a bar on."""
    at = begin + int(np.argmax(prices[begin:] * sign))
    price = float(prices[at])
    distance = fraction(float(series.bars.close[-1]), price)
    return Extreme(price, day_text(int(series.days[at])), distance if distance is not None else 0.0, is_new=at == len(prices) - 1 and at > begin)


def average_before(values: FloatArray, sessions: int = _VOLUME_SESSIONS) -> FloatArray:
    """Average of the `sessions` values before each one, itself not included; NaN where there are not so many. Shape as values."""
    averages = np.full(len(values), np.nan)
    if len(values) > sessions:
        windows = np.lib.stride_tricks.sliding_window_view(values, sessions)
        averages[sessions:] = windows[:-1].mean(axis=1)
    return averages


def indicator_values(record: SymbolRecord) -> dict[str, float | None]:
    """Those of the last bar, by name; None while they warm up or where there are none."""
    return {name: _finite(record.indicators[name][-1]) if record.indicators and len(record.indicators[name]) else None for name in INDICATORS}


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def chart(series: SymbolSeries, *, is_of_day: bool) -> ChartSeries:
    """The last sessions. is_of_day: whether the last of them is the report's day."""
    bars, count = series.bars, len(series.bars)
    begin = max(0, count - CHART_SESSIONS)
    values = {name: _tail(series.record.indicators, name, count - begin) for name in INDICATORS}
    # The average looks back further than the chart does.
    volumes = bars.volume[max(0, begin - _VOLUME_SESSIONS) :]
    return ChartSeries(
        dates=day_texts(series.days[begin:]),
        ts_open=bars.ts_open[begin:],
        open=bars.open[begin:],
        high=bars.high[begin:],
        low=bars.low[begin:],
        close=bars.close[begin:],
        volume=bars.volume[begin:],
        volume_average_20=average_before(volumes)[len(volumes) - (count - begin) :],
        sma_20=values["sma_20"],
        sma_50=values["sma_50"],
        sma_200=values["sma_200"],
        bands_upper=values["bbands_20_2_upper"],
        bands_lower=values["bbands_20_2_lower"],
        rsi_14=values["rsi_14"],
        macd=values["macd_12_26_9"],
        macd_signal=values["macd_12_26_9_signal"],
        macd_histogram=values["macd_12_26_9_hist"],
        markers=_markers(series, begin, is_of_day),
    )


def _tail(indicators: Mapping[str, FloatArray], name: str, count: int) -> FloatArray:
    """The last `count` values; NaN in front where there are not so many."""
    known = indicators.get(name, np.empty(0))[-count:]
    return known if len(known) == count else np.concatenate([np.full(count - len(known), np.nan), known])


def _markers(series: SymbolSeries, begin: int, is_of_day: bool) -> tuple[Marker, ...]:
    signals, last = series.record.signals, len(series.bars) - 1
    shown = np.flatnonzero(signals.row >= begin)
    found = []
    for row, kind in zip(signals.row[shown].tolist(), signals.type[shown].tolist(), strict=True):
        words = SIGNAL_WORDS[SIGNAL_TYPES[kind]]
        found.append(Marker(row - begin, SIGNAL_TYPES[kind], words.title, words.direction, is_of_day=is_of_day and row == last))
    return tuple(found)


def notes(series: SymbolSeries, late_reason: str) -> tuple[str, ...]:
    """What a reader must know, a sentence each."""
    found = [late_reason] if late_reason else []
    real = int(series.bars.replay_of[-1])
    if real:
        shown, was = day_text(series.last_day), str(np.datetime64(real, "ns").astype("datetime64[D]"))
        found.append(f"A replay: the session shown as {shown} is a recording that opened on {was}.")
    if series.splits:
        at, split = series.splits[-1]
        text = f"Prices are not adjusted: the open of {split.date} looks like a {split.label} split. Highs and lows are of the time since then"
        since = len(series.bars) - at
        touched = since <= _LONGEST_AVERAGE
        found.append(text + (f", and averages of more than {since} sessions mix prices of before and after it." if touched else "."))
    return tuple(found)
