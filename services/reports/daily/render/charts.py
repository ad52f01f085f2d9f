"""The charts of the report, drawn as scenes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from services.reports.daily.model import ChartSeries, FloatArray, Histogram, MarketHistory, SuspectedSplit
from services.reports.daily.render.formats import price as price_text
from services.reports.daily.render.scene import (
    UNITS_PER_SLOT,
    Area,
    Bars,
    Drawing,
    Label,
    Line,
    Mark,
    Pane,
    Rule,
    Units,
    round_ticks,
    spread,
    tick_text,
)

#: Heights of the panes of a symbol's chart, units: price has most of it, the others are read for their direction.
PRICE = (0, 410)
VOLUME = (440, 510)
RSI = (546, 640)
MACD = (676, 780)
CHART_HEIGHT = 780
#: Fewer bars are drawn as if there were so many: four bars across a page would look like a barricade.
MIN_SLOTS = 40
#: Labels of months are at least so many bars apart.
MONTH_GAP = 14
#: Between a bar's end and a mark on it, units.
MARK_GAP = 9
#: One mark above another.
MARK_STEP = 17


def symbol_chart(series: ChartSeries, symbol: str, splits: Sequence[SuspectedSplit] = ()) -> Drawing:
    """Candles with averages and bands, volume, RSI and MACD, the signals and suspected splits marked."""
    x = _middles(len(series))
    price = _price_pane(series)
    breaks = [(series.dates.index(split.date), split.label) for split in splits if split.date in series.dates]
    shapes = [*_price_shapes(series, x, price), *_split_shapes(x, breaks), *_volume_shapes(series, x), *_rsi_shapes(series, x), *_macd_shapes(series, x)]
    labels = [*_price_labels(series, price), *_pane_labels(series), *_date_labels(series)]
    labels += [Label(int(x[index]) - UNITS_PER_SLOT // 2, PRICE[0] + 10, f"split {label}?", "inside", "warn") for index, label in breaks]
    title = f"{symbol}: candles, volume, RSI and MACD of {len(series)} sessions to {series.dates[-1]}" if series.dates else f"{symbol}: no bars"
    return Drawing(_width(len(series)), CHART_HEIGHT, tuple(shapes), tuple(labels), tuple(_marks(series, x, price)), title)


def _width(bars: int) -> int:
    return max(bars, MIN_SLOTS) * UNITS_PER_SLOT


def _middles(bars: int) -> Units:
    free = max(MIN_SLOTS - bars, 0)
    return (np.arange(bars) + free) * UNITS_PER_SLOT + UNITS_PER_SLOT // 2


def _price_pane(series: ChartSeries) -> Pane:
    """Scale of the bars; bands and averages may leave it where they lie far off, marks need room."""
    known = np.concatenate([series.low, series.high, series.bands_upper[-60:], series.bands_lower[-60:]])
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    low, high = spread(low, high, 0.07)
    return Pane(PRICE[0], PRICE[1], low, high)


def _split_shapes(x: Units, breaks: Sequence[tuple[int, str]]) -> list[Bars]:
    """A line between the session before and the one whose prices cannot be compared with it."""
    if not breaks:
        return []
    at = np.array([int(x[index]) - UNITS_PER_SLOT // 2 for index, _ in breaks])
    return [Bars(at, np.full(at.shape, PRICE[0]), np.full(at.shape, PRICE[1]), "split")]


def _within(values: FloatArray, pane: Pane) -> FloatArray:
    """A line that leaves the scale is cut, not bent along the border."""
    return np.where((values >= pane.low) & (values <= pane.high), values, np.nan)


def _price_shapes(series: ChartSeries, x: Units, pane: Pane) -> list[Bars | Line | Area | Rule]:
    shapes: list[Bars | Line | Area | Rule] = [Rule(pane.unit(tick), "grid") for tick in _price_ticks(pane)]
    band = np.isfinite(series.bands_upper) & np.isfinite(series.bands_lower)
    if band.sum() > 1:
        shapes.append(Area(x[band], pane.units(series.bands_upper[band]), pane.units(series.bands_lower[band]), "band"))
    for values, tone in ((series.sma_200, "sma200"), (series.sma_50, "sma50"), (series.sma_20, "sma20")):
        shapes.append(Line(x, pane.floats(_within(values, pane)), tone))
    rising = series.close >= series.open
    for chosen, way in ((rising, "up"), (~rising, "down")):
        top = pane.units(np.maximum(series.open, series.close)[chosen])
        bottom = np.maximum(pane.units(np.minimum(series.open, series.close)[chosen]), top + 2)
        shapes.append(Bars(x[chosen], pane.units(series.high[chosen]), pane.units(series.low[chosen]), f"wick {way}"))
        shapes.append(Bars(x[chosen], top, bottom, f"body {way}"))
    return shapes


def _price_ticks(pane: Pane) -> list[float]:
    return [tick for tick in round_ticks(pane.low, pane.high, 6) if PRICE[0] + 10 < pane.unit(tick) < PRICE[1] - 4]


def _volume_shapes(series: ChartSeries, x: Units) -> list[Bars | Line | Area | Rule]:
    highest = float(series.volume.max()) if len(series) else 0.0
    pane = Pane(VOLUME[0], VOLUME[1], 0.0, highest or 1.0)
    rising = series.close >= series.open
    shapes: list[Bars | Line | Area | Rule] = [Rule(VOLUME[1], "base")]
    for chosen, way in ((rising, "up"), (~rising, "down")):
        top = pane.units(series.volume[chosen])
        shapes.append(Bars(x[chosen], top, np.full(top.shape, VOLUME[1]), f"volume {way}"))
    shapes.append(Line(x, pane.floats(_within(series.volume_average_20, pane)), "average"))
    return shapes


def _rsi_shapes(series: ChartSeries, x: Units) -> list[Bars | Line | Area | Rule]:
    pane = Pane(RSI[0], RSI[1], 0.0, 100.0)
    return [Rule(pane.unit(70), "guide"), Rule(pane.unit(30), "guide"), Line(x, pane.floats(series.rsi_14), "rsi")]


def _macd_shapes(series: ChartSeries, x: Units) -> list[Bars | Line | Area | Rule]:
    known = np.concatenate([series.macd, series.macd_signal, series.macd_histogram])
    known = known[np.isfinite(known)]
    reach = float(np.abs(known).max()) if known.size else 1.0
    pane = Pane(MACD[0], MACD[1], -(reach or 1.0), reach or 1.0)
    zero = pane.unit(0.0)
    shapes: list[Bars | Line | Area | Rule] = [Rule(zero, "guide")]
    warm = np.isfinite(series.macd_histogram)
    for chosen, way in ((warm & (series.macd_histogram >= 0), "up"), (warm & (series.macd_histogram < 0), "down")):
        ends = pane.units(series.macd_histogram[chosen])
        shapes.append(Bars(x[chosen], np.minimum(ends, zero), np.maximum(ends, zero), f"volume {way}"))
    return [*shapes, Line(x, pane.floats(series.macd_signal), "macdsignal"), Line(x, pane.floats(series.macd), "macd")]


def _price_labels(series: ChartSeries, pane: Pane) -> list[Label]:
    """Round prices, and the last close, which the others make room for."""
    if not len(series):
        return []
    last = pane.unit(float(series.close[-1]))
    ticks = _price_ticks(pane)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    labels = [Label(0, pane.unit(tick), tick_text(tick, step), "right") for tick in ticks if abs(pane.unit(tick) - last) > 24]
    return [*labels, Label(0, last, price_text(float(series.close[-1])), "right", "last")]


def _pane_labels(series: ChartSeries) -> list[Label]:
    rsi, macd = Pane(RSI[0], RSI[1], 0.0, 100.0), (MACD[0] + MACD[1]) // 2
    return [
        Label(0, VOLUME[0] - 4, "Volume", "inside"),
        Label(0, RSI[0] - 4, "RSI 14", "inside"),
        Label(0, MACD[0] - 4, "MACD 12 26 9", "inside"),
        Label(0, rsi.unit(70), "70", "right"),
        Label(0, rsi.unit(30), "30", "right"),
        Label(0, macd, "0", "right"),
    ]


def _date_labels(series: ChartSeries) -> list[Label]:
    """The first session of each month that is far enough from the month before."""
    free = max(MIN_SLOTS - len(series), 0)
    labels: list[Label] = []
    placed = -MONTH_GAP
    for index, (before, day) in enumerate(pairwise(series.dates), start=1):
        if before[:7] == day[:7] or index - placed < MONTH_GAP or len(series) - index < 4:
            continue
        year = not labels or day[:4] != before[:4]
        labels.append(Label((index + free) * UNITS_PER_SLOT, CHART_HEIGHT, _month(day, with_year=year), "below"))
        placed = index
    return labels


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _month(day: str, *, with_year: bool) -> str:
    name = _MONTHS[int(day[5:7]) - 1]
    return f"{name} {day[:4]}" if with_year else name


def _marks(series: ChartSeries, x: Units, pane: Pane) -> list[Mark]:
    """One triangle to a bar and direction: several signals of a bar share it, its title names them."""
    titles: dict[tuple[int, str], list[str]] = {}
    strong: set[tuple[int, str]] = set()
    for marker in series.markers:
        key = (marker.index, str(marker.direction))
        titles.setdefault(key, []).append(marker.title)
        if marker.is_of_day:
            strong.add(key)
    marks = []
    for (index, direction), names in sorted(titles.items()):
        price = series.low[index] if direction == "up" else series.high[index]
        y = pane.unit(float(price)) + (MARK_GAP if direction == "up" else -MARK_GAP)
        title = f"{series.dates[index]}: {', '.join(names)}"
        marks.append(Mark(int(x[index]), y, direction, (index, direction) in strong, title))
    return marks


def spark(closes: FloatArray, points: int = 40) -> Drawing:
    """The last closes as one small line."""
    chosen = closes[np.linspace(0, len(closes) - 1, min(points, len(closes))).round().astype(np.int64)] if len(closes) else closes
    low, high = spread(float(chosen.min()), float(chosen.max()), 0.08) if chosen.size else (0.0, 1.0)
    pane = Pane(0, 40, low, high)
    x = np.arange(chosen.size) * 3
    return Drawing(max(3 * (chosen.size - 1), 1), 40, (Line(x, pane.floats(chosen), "spark"),), (), (), "")


def change_histogram(histogram: Histogram, title: str, *, is_ratio: bool = False) -> Drawing:
    """Counts as bars; falls and rises in their colours, ratios in neither."""
    height, slot = 200, 20
    count = len(histogram.counts)
    pane = Pane(14, height, 0.0, float(histogram.counts.max()) if count and histogram.counts.max() else 1.0)
    x = np.arange(count) * slot + slot // 2
    top = pane.units(histogram.counts.astype(np.float64))
    turn = 1.0 if is_ratio else 0.0
    middles = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    shapes: list[Bars | Line | Area | Rule] = [Rule(height, "base")]
    some = histogram.counts > 0
    ways = ((some, "accent"),) if is_ratio else ((some & (middles >= turn), "up"), (some & (middles < turn), "down"))
    for chosen, way in ways:
        shapes.append(Bars(x[chosen], top[chosen], np.full(int(chosen.sum()), height), f"column {way}"))
    return Drawing(count * slot, height, tuple(shapes), tuple(_edge_labels(histogram.edges, slot, height, is_ratio=is_ratio)), (), title)


def _edge_labels(edges: FloatArray, slot: int, height: int, *, is_ratio: bool) -> list[Label]:
    """Every few edges, counted from the one in the middle (no change, the average) where there is one."""
    turn = 1.0 if is_ratio else 0.0
    middle = int(np.argmin(np.abs(edges - turn)))
    step = max(1, len(edges) // 6)
    chosen = [index for index in range(len(edges)) if (index - middle) % step == 0 and 0 < index < len(edges) - 1]
    return [Label(index * slot, height, _edge_text(float(edges[index]), is_ratio=is_ratio), "below") for index in chosen]


def _edge_text(edge: float, *, is_ratio: bool) -> str:
    if is_ratio:
        return f"{edge:g}×"
    rounded = round(edge * 100, 2) or 0.0
    return f"{'+' if rounded > 0 else ''}{rounded:g}%".replace("-", "\u2212")


def breadth_history(history: MarketHistory) -> Drawing:
    """Risers over and fallers under a line, session by session."""
    height = 200
    count = len(history.dates)
    x = np.arange(count) * UNITS_PER_SLOT + UNITS_PER_SLOT // 2
    reach = float(max(history.advancers.max(initial=0), history.decliners.max(initial=0), 1))
    pane = Pane(0, height, -reach, reach)
    zero = pane.unit(0.0)
    up, down = pane.units(history.advancers.astype(np.float64)), pane.units(-history.decliners.astype(np.float64))
    shapes = (
        Bars(x, up, np.full(count, zero), "body up"),
        Bars(x, np.full(count, zero), down, "body down"),
        Rule(zero, "base"),
    )
    ticks = [tick for tick in round_ticks(-reach, reach, 4) if tick == round(tick)]
    labels = [Label(0, pane.unit(tick), f"{abs(tick):,.0f}", "right") for tick in ticks]
    return Drawing(count * UNITS_PER_SLOT, height, shapes, (*labels, *_history_dates(history.dates, height)), (), "Risers and fallers of each session")


def averages_history(history: MarketHistory) -> Drawing:
    """Share of symbols above their 50- and 200-session averages."""
    height = 200
    x = np.arange(len(history.dates)) * UNITS_PER_SLOT + UNITS_PER_SLOT // 2
    pane = Pane(6, height - 6, 0.0, 1.0)
    shapes: tuple[Line | Rule, ...] = (
        *(Rule(pane.unit(level), "grid") for level in (0.0, 0.25, 0.5, 0.75, 1.0)),
        Line(x, pane.floats(history.above_sma_200), "sma200"),
        Line(x, pane.floats(history.above_sma_50), "sma50"),
    )
    labels = [Label(0, pane.unit(level), f"{level * 100:.0f}%", "right") for level in (0.0, 0.5, 1.0)]
    width = len(history.dates) * UNITS_PER_SLOT
    return Drawing(width, height, shapes, (*labels, *_history_dates(history.dates, height)), (), "Share of symbols above their averages")


def _history_dates(dates: Sequence[str], height: int) -> list[Label]:
    labels = []
    for index, (before, day) in enumerate(pairwise(dates), start=1):
        if before[:7] != day[:7] and 2 < index < len(dates) - 3:
            labels.append(Label(index * UNITS_PER_SLOT, height, _month(day, with_year=False), "below"))
    return labels
