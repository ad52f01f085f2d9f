"""Figures of the recorded stocks against pandas, and what must hold of any input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from services.prices.feeds import stocks_file
from services.reports.daily.compute import compute
from services.reports.daily.model import DailyReportModel, SymbolReport, SymbolState
from services.reports.daily.recorded import BarsRecord, ReportInput
from tests.report_samples import model_of, real_input, sample_input, small_input, symbol_record

DAY = "2013-03-01"
TICKERS = sorted(stocks_file.SYMBOLS)
#: First day after which prices can be compared; the splits are known from the companies' announcements.
SINCE_SPLIT = {"AAPL": "2005-02-28", "MSFT": "2003-02-18"}


@pytest.fixture(scope="module")
def report() -> DailyReportModel:
    return model_of(real_input(DAY))


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    frame = pd.read_csv(stocks_file.locate(), parse_dates=["Date"])
    return {str(name): rows.set_index("Date").sort_index() for name, rows in frame[frame["Date"] <= DAY].groupby("Ticker")}


def of(report: DailyReportModel, ticker: str) -> SymbolReport:
    return next(item for item in report.symbols if item.symbol == stocks_file.SYMBOLS[ticker])


@pytest.mark.parametrize("ticker", TICKERS)
def test_sessions_and_change_are_those_of_the_file(report: DailyReportModel, frames: dict[str, pd.DataFrame], ticker: str) -> None:
    found, rows = of(report, ticker), frames[ticker]
    for session, row in ((found.last, rows.iloc[-1]), (found.previous, rows.iloc[-2])):
        assert session is not None
        assert session.date == str(row.name)[:10]
        assert (session.open, session.high, session.low, session.close, session.volume) == tuple(row[["Open", "High", "Low", "Close", "Volume"]])
    assert found.change == pytest.approx(rows["Close"].pct_change().iloc[-1], rel=1e-12)
    assert found.gap == pytest.approx(rows["Open"].iloc[-1] / rows["Close"].iloc[-2] - 1, rel=1e-12)
    assert found.bars == len(rows)


@pytest.mark.parametrize("ticker", TICKERS)
def test_extremes_are_pandas(report: DailyReportModel, frames: dict[str, pd.DataFrame], ticker: str) -> None:
    found, rows = of(report, ticker).extremes, frames[ticker]
    rows = rows[rows.index >= SINCE_SPLIT.get(ticker, "1900-01-01")]
    year = rows[rows.index > pd.Timestamp(DAY) - pd.Timedelta(days=364)]
    assert found.since == str(rows.index[0])[:10]
    for extreme, column, at in ((found.high_52w, year["High"], year["High"].idxmax()), (found.high_ever, rows["High"], rows["High"].idxmax())):
        assert (extreme.price, extreme.date) == (column.max(), str(at)[:10])
        assert extreme.distance == pytest.approx(rows["Close"].iloc[-1] / column.max() - 1, rel=1e-12)
    assert (found.low_52w.price, found.low_52w.date) == (year["Low"].min(), str(year["Low"].idxmin())[:10])
    assert found.weeks_52_complete == (ticker != "FB")


@pytest.mark.parametrize("ticker", TICKERS)
def test_volume_and_indicators_are_pandas(report: DailyReportModel, frames: dict[str, pd.DataFrame], ticker: str) -> None:
    found, rows = of(report, ticker), frames[ticker]
    average = rows["Volume"].iloc[-21:-1].mean()
    assert found.volume_average_20 == pytest.approx(average, rel=1e-12)
    assert found.volume_ratio == pytest.approx(rows["Volume"].iloc[-1] / average, rel=1e-12)
    close = rows["Close"]
    for length in (20, 50, 200):
        expected = close.rolling(length).mean().iloc[-1]
        assert found.indicators[f"sma_{length}"] == (pytest.approx(expected, rel=1e-9) if expected == expected else None)
    width = 2 * close.rolling(20).std(ddof=0).iloc[-1]
    assert found.indicators["bbands_20_2_upper"] == pytest.approx(close.rolling(20).mean().iloc[-1] + width, rel=1e-9)
    change = close.diff()
    # Wilder's averages forget their beginning: after 250 sessions and more no difference is left at this tolerance.
    up, down = (part.ewm(alpha=1 / 14, adjust=False).mean().iloc[-1] for part in (change.clip(lower=0).iloc[1:], (-change).clip(lower=0).iloc[1:]))
    tolerance = 1e-5 if ticker == "FB" else 1e-9
    assert found.indicators["rsi_14"] == pytest.approx(100 * up / (up + down), rel=tolerance)


def test_what_is_known_of_the_day(report: DailyReportModel) -> None:
    # FB went public on 2012-05-18 at 38 to 45 dollars; AAPL's highest was 705.07 on 2012-09-21; the Dow of that day rose and AAPL fell to a new low.
    assert of(report, "AAPL").extremes.high_ever.price == 705.07
    assert of(report, "AAPL").extremes.low_52w.is_new
    assert report.market.new_lows == ("AAPL.XNAS",)
    assert (report.market.breadth.advancers, report.market.breadth.decliners) == (4, 1)
    assert [item.symbol for item in report.market.down] == ["AAPL.XNAS"]
    assert report.market.breadth.above_sma_200.of == 4
    assert of(report, "AAPL").notes[0].startswith("Prices are not adjusted: the open of 2005-02-28 looks like a 2:1 split")


def test_only_the_splits_that_were(report: DailyReportModel) -> None:
    found = {ticker: [(split.date, split.label) for split in of(report, ticker).splits] for ticker in TICKERS}
    # AAPL's fall by half of 2000-09-29 is not among them.
    assert found == {"AAPL": [("2000-06-21", "2:1"), ("2005-02-28", "2:1")], "FB": [], "GOOG": [], "IBM": [], "MSFT": [("2003-02-18", "2:1")]}


def test_coverage_names_every_symbol_with_its_reason() -> None:
    report = model_of(small_input())
    coverage = report.coverage
    assert coverage.expected == len(coverage.rows) == coverage.arrived + coverage.late + coverage.missing + coverage.failed == 12
    assert (coverage.late, coverage.missing, coverage.failed) == (1, 2, 1)
    assert all(bool(row.reason) == (row.state is not SymbolState.ARRIVED) for row in coverage.rows)
    with_figures = {row.symbol for row in coverage.rows if row.state in {SymbolState.ARRIVED, SymbolState.LATE}}
    assert {item.symbol for item in report.symbols} == with_figures
    (late,) = coverage.of(SymbolState.LATE)
    assert late.reason == "last daily bar is of 2026-02-25"


def test_a_late_symbol_has_figures_and_no_part_in_the_market_of_the_day() -> None:
    report = model_of(small_input())
    late = next(item for item in report.symbols if item.state is SymbolState.LATE)
    assert late.signals == ()
    assert not any(marker.is_of_day for marker in late.chart.markers)
    assert late.notes[0] == "Late: last daily bar is of 2026-02-25."
    assert late.symbol not in {item.symbol for item in (*report.market.up, *report.market.down)}
    breadth = report.market.breadth
    assert breadth.advancers + breadth.decliners + breadth.unchanged == report.coverage.arrived


def test_a_venue_without_a_session_is_named() -> None:
    record = small_input()
    before = [replace(item, bars=item.bars) for item in record.symbols]
    moved = next(item for item in before if len(item.bars) and not item.error)
    other = symbol_record("AAA.XTKS", moved.bars.until(len(moved.bars) - 1))
    report = model_of(ReportInput(record.head, tuple(sorted((*before, other), key=lambda item: item.symbol))))
    row = next(row for row in report.coverage.rows if row.symbol == "AAA.XTKS")
    assert row.reason.endswith("; no symbol of XTKS has one of the day")


def test_charts_hold_what_a_renderer_draws() -> None:
    report = model_of(small_input())
    for item in report.symbols:
        chart = item.chart
        arrays = [getattr(chart, name) for name in chart.__slots__ if isinstance(getattr(chart, name), np.ndarray)]
        assert {len(array) for array in arrays} == {len(chart)} == {120}
        assert chart.dates[-1] == item.last.date
        assert chart.close[-1] == item.last.close
        of_day = [marker.type for marker in chart.markers if marker.is_of_day]
        assert of_day == [signal.type for signal in item.signals]
        assert all(0 <= marker.index < len(chart) for marker in chart.markers)


def test_a_symbol_with_one_bar_has_no_changes() -> None:
    record = sample_input(6, 300, troubled=False)
    first = record.symbols[0]
    last_bar = {name: getattr(first.bars, name)[-1:] for name in BarsRecord.__slots__}
    young = symbol_record(first.symbol, BarsRecord(**last_bar))
    report = model_of(ReportInput(record.head, (young, *record.symbols[1:])))
    found = report.symbols[0]
    assert (found.previous, found.change, found.gap, found.volume_ratio, found.atr_fraction) == (None, None, None, None, None)
    assert not found.extremes.high_52w.is_new
    assert len(found.chart) == 1


def test_progress_is_told_for_each_symbol() -> None:
    told: list[int] = []
    record = small_input()
    compute(record, "0" * 64, told.append)
    assert told == list(range(1, 13))
