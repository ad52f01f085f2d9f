"""The overview of the market: breadth, movers, volumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from services.reports.daily.figures import SymbolSeries
from services.reports.daily.model import (
    Breadth,
    FloatArray,
    Histogram,
    IntArray,
    Market,
    MarketHistory,
    Mover,
    Share,
    SignalReport,
    SymbolReport,
)
from services.reports.daily.sessions import day_texts

_MOVERS = 10
_HISTORY_SESSIONS = 60
#: A percentage point each, from -10 to 10 %.
_CHANGE_EDGES = np.round(np.arange(-10, 11) / 100.0, 2)
#: Of a quarter of the average each, to three times as much.
_VOLUME_EDGES = np.arange(13) / 4.0


def market(series: Sequence[SymbolSeries], symbols: Sequence[SymbolReport], signals: Sequence[SignalReport]) -> Market:
    """series: of all symbols with bars. symbols: those that have a bar of the day. signals: of the day."""
    changes = np.array([item.change for item in symbols if item.change is not None], np.float64)
    ratios = np.array([item.volume_ratio for item in symbols if item.volume_ratio is not None], np.float64)
    movers = [_mover(item, item.change) for item in symbols if item.change is not None]
    return Market(
        breadth=_breadth(symbols, changes),
        median_change=_or_none(np.median, changes),
        mean_change=_or_none(np.mean, changes),
        up=_top([item for item in movers if item.change > 0], lambda item: -item.change),
        down=_top([item for item in movers if item.change < 0], lambda item: item.change),
        busiest=_top([item for item in movers if item.volume_ratio is not None], lambda item: -(item.volume_ratio or 0.0)),
        new_highs=tuple(item.symbol for item in symbols if item.extremes.weeks_52_complete and item.extremes.high_52w.is_new),
        new_lows=tuple(item.symbol for item in symbols if item.extremes.weeks_52_complete and item.extremes.low_52w.is_new),
        volume_ratio_median=_or_none(np.median, ratios),
        volume_above_average=Share(int(np.count_nonzero(ratios > 1.0)), len(ratios)),
        changes=_histogram(changes, _CHANGE_EDGES),
        volume_ratios=_histogram(ratios, _VOLUME_EDGES),
        history=history(series),
        signals_by_type=dict(sorted(Counter(item.type for item in signals).items())),
    )


def _mover(item: SymbolReport, change: float) -> Mover:
    return Mover(item.symbol, item.last.close, change, item.last.volume, item.volume_ratio)


def _top(movers: Iterable[Mover], key: Callable[[Mover], float]) -> tuple[Mover, ...]:
    return tuple(sorted(movers, key=lambda item: (key(item), item.symbol))[:_MOVERS])


def _or_none(function: Callable[[FloatArray], np.floating], values: FloatArray) -> float | None:
    return float(function(values)) if len(values) else None


def _histogram(values: FloatArray, edges: FloatArray) -> Histogram:
    inside = np.clip(values, edges[0], edges[-1])
    return Histogram(edges, np.histogram(inside, edges)[0].astype(np.int64))


def _breadth(symbols: Sequence[SymbolReport], changes: FloatArray) -> Breadth:
    complete = [item.extremes for item in symbols if item.extremes.weeks_52_complete]
    return Breadth(
        advancers=int(np.count_nonzero(changes > 0)),
        decliners=int(np.count_nonzero(changes < 0)),
        unchanged=int(np.count_nonzero(changes == 0)),
        new_highs_52w=Share(sum(item.high_52w.is_new for item in complete), len(complete)),
        new_lows_52w=Share(sum(item.low_52w.is_new for item in complete), len(complete)),
        above_sma_20=_share(symbols, "sma_20", lambda close, value: close > value),
        above_sma_50=_share(symbols, "sma_50", lambda close, value: close > value),
        above_sma_200=_share(symbols, "sma_200", lambda close, value: close > value),
        rsi_above_70=_share(symbols, "rsi_14", lambda _, value: value > 70.0),
        rsi_below_30=_share(symbols, "rsi_14", lambda _, value: value < 30.0),
    )


def _share(symbols: Sequence[SymbolReport], name: str, holds: Callable[[float, float], bool]) -> Share:
    known = [(item.last.close, value) for item in symbols if (value := item.indicators[name]) is not None]
    return Share(sum(holds(close, value) for close, value in known), len(known))


def history(series: Sequence[SymbolSeries]) -> MarketHistory:
    """Breadth of the last sessions. A day counts when at least half as many symbols have a bar of it as on the fullest day: no weekends of crypto."""
    days = _common_days(series)
    changes, above_50, above_200 = (np.full((len(series), len(days)), np.nan) for _ in range(3))
    for at, item in enumerate(series):
        _fill(item, days, changes[at], above_50[at], above_200[at])
    return MarketHistory(
        dates=day_texts(days),
        advancers=np.count_nonzero(changes > 0, axis=0).astype(np.int64),
        decliners=np.count_nonzero(changes < 0, axis=0).astype(np.int64),
        above_sma_50=_by_day(above_50, np.mean),
        above_sma_200=_by_day(above_200, np.mean),
        median_change=_by_day(changes, np.median),
    )


def _common_days(series: Sequence[SymbolSeries]) -> IntArray:
    # Twice as many of each symbol, so that those of a venue without weekends do not crowd out the others.
    tails = [item.days[-2 * _HISTORY_SESSIONS :] for item in series]
    if not tails:
        return np.empty(0, np.int64)
    days, counts = np.unique(np.concatenate(tails), return_counts=True)
    common: IntArray = days[counts * 2 >= counts.max()][-_HISTORY_SESSIONS:]
    return common


def _fill(item: SymbolSeries, days: IntArray, changes: FloatArray, above_50: FloatArray, above_200: FloatArray) -> None:
    count = min(len(item.days), 2 * _HISTORY_SESSIONS + 1)
    mine, close = item.days[-count:], item.bars.close[-count:]
    _, here, there = np.intersect1d(mine, days, return_indices=True)
    changes[there[here > 0]] = close[here[here > 0]] / close[here[here > 0] - 1] - 1.0
    for name, target in (("sma_50", above_50), ("sma_200", above_200)):
        values = item.record.indicators.get(name, np.empty(0))[-count:]
        average = np.concatenate([np.full(count - len(values), np.nan), values])[here]
        target[there] = np.where(np.isnan(average), np.nan, close[here] > average)


def _by_day(values: FloatArray, function: Callable[[FloatArray], np.floating]) -> FloatArray:
    columns = [column[~np.isnan(column)] for column in values.T]
    return np.array([float(function(column)) if len(column) else np.nan for column in columns], np.float64)
