"""Scenes and texts: round ticks, nothing outside its pane, holes where figures are missing."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reports.daily.model import SuspectedSplit
from services.reports.daily.render import formats
from services.reports.daily.render.charts import CHART_HEIGHT, MACD, PRICE, RSI, VOLUME, symbol_chart
from services.reports.daily.render.scene import UNITS_PER_SLOT, Area, Bars, Line, Pane, round_ticks, spread, tick_text
from services.reports.daily.render.svg import runs
from tests.unit.reports.made_reports import made_report

SYMBOLS = made_report(8).symbols


@given(st.floats(1e-6, 1e7), st.floats(1e-4, 3.0), st.integers(2, 8))
def test_ticks_are_round_and_within(low: float, width: float, wanted: int) -> None:
    high = low * (1 + width)
    ticks = round_ticks(low, high, wanted)
    assert 1 <= len(ticks) <= 2.6 * wanted + 1
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        leading = step / 10 ** math.floor(math.log10(step) + 1e-9)
        assert min(abs(leading - nice) for nice in (1, 2, 2.5, 5, 10)) < 1e-3
        assert len({tick_text(tick, step) for tick in ticks}) == len(ticks)


@pytest.mark.parametrize("index", range(8))
def test_nothing_leaves_the_drawing(index: int) -> None:
    drawing = symbol_chart(SYMBOLS[index].chart, "X")
    for shape in drawing.shapes:
        if isinstance(shape, Bars):
            assert (shape.top >= 0).all()
            assert (shape.bottom <= CHART_HEIGHT).all()
            assert (shape.top <= shape.bottom).all()
            assert (shape.x < drawing.width).all()
        elif isinstance(shape, Line):
            known = shape.y[np.isfinite(shape.y)]
            assert ((known >= 0) & (known <= CHART_HEIGHT)).all()
        elif isinstance(shape, Area):
            assert (shape.upper <= shape.lower).all()


def test_panes_do_not_overlap() -> None:
    borders = [edge for pane in (PRICE, VOLUME, RSI, MACD) for edge in pane]
    assert borders == sorted(borders)
    assert borders[-1] <= CHART_HEIGHT


def test_each_bar_is_one_candle() -> None:
    chart = SYMBOLS[0].chart
    drawing = symbol_chart(chart, "X")
    for kind in ("wick", "body"):
        bars = [shape for shape in drawing.shapes if isinstance(shape, Bars) and shape.tone.startswith(kind)]
        assert sum(len(shape.x) for shape in bars) == len(chart)
    rising = next(shape for shape in drawing.shapes if isinstance(shape, Bars) and shape.tone == "body up")
    assert len(rising.x) == int((chart.close >= chart.open).sum())


def test_signals_of_the_day_are_marked_strongly_at_the_last_bar() -> None:
    report = next(item for item in SYMBOLS if item.signals)
    marks = symbol_chart(report.chart, "X").marks
    strong = [mark for mark in marks if mark.strong]
    assert {mark.direction for mark in strong} == {str(signal.direction) for signal in report.signals}
    assert all(mark.x == max(other.x for other in marks) for mark in strong)
    assert all(signal.title in " ".join(mark.title for mark in strong) for signal in report.signals)


def test_a_suspected_split_is_marked_where_it_is() -> None:
    chart = SYMBOLS[0].chart
    inside, before = SuspectedSplit(chart.dates[60], 2.0, "2:1"), SuspectedSplit("2001-01-01", 3.0, "3:1")
    drawing = symbol_chart(chart, "X", (before, inside))
    (line,) = [shape for shape in drawing.shapes if isinstance(shape, Bars) and shape.tone == "split"]
    assert line.x.tolist() == [60 * UNITS_PER_SLOT]
    assert [label.text for label in drawing.labels if label.tone == "warn"] == ["split 2:1?"]


def test_price_labels_do_not_overlap() -> None:
    for report in SYMBOLS:
        labels = sorted(label.y for label in symbol_chart(report.chart, "X").labels if label.place == "right")
        # Ten pixels: the height of their letters.
        assert all(later - earlier >= 20 for earlier, later in pairwise(labels))


def test_a_line_breaks_at_holes() -> None:
    line = Line(np.arange(7), np.array([np.nan, 1, 2, np.nan, 3, np.nan, 4]), "rsi")
    assert runs(line) == [([1, 2], [1, 2])]


def test_a_scale_has_height_even_where_prices_have_none() -> None:
    low, high = spread(5.0, 5.0, 0.05)
    assert low < 5 < high
    assert Pane(0, 100, low, high).unit(5.0) == 50


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.price(1234.5), "1,234.50"),
        (formats.price(0.0312), "0.03120"),
        (formats.price(None), "–"),
        (formats.price(math.nan), "–"),
        (formats.price(0.0), "0.00"),
        (formats.percent(0.0125), "+1.25%"),
        (formats.percent(-0.00001), "0.00%"),
        (formats.percent(-0.5, 1), "−50.0%"),
        (formats.percent(None), "–"),
        (formats.count(99_999), "99,999"),
        (formats.count(3_400_000), "3.4M"),
        (formats.ratio(1.84), "1.8×"),
        (formats.ratio(None), "–"),
        (formats.milliseconds(0.25), "0.25\u00a0ms"),
        (formats.milliseconds(12_345), "12.3\u00a0s"),
        (formats.duration(93_000), "1\u00a0d\u00a01\u00a0h"),
        (formats.duration(0), "0\u00a0s"),
        (formats.signed_price(-1.5, 100.0), "−1.50"),
        (formats.long_date("2013-03-01"), "Friday, 1 March 2013"),
        (formats.long_date(""), "–"),
        (formats.clean("a\u202eb\x00c\ud800\nd"), "abc\ufffd d"),
        (formats.Clock("America/New_York").minute(1_362_150_000_000_000_000, "2013-03-01"), "10:00"),
        (formats.Clock("UTC").minute(0, "2013-03-01"), "no date"),
        (formats.Clock("UTC").minute(1_362_150_000_000_000_000, "2013-03-02"), "1\u00a0Mar\u00a015:00"),
    ],
)
def test_figures_as_text(shown: str, expected: str) -> None:
    assert shown == expected
