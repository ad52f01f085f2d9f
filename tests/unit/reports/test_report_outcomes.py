"""What earlier signals did: against naive twins, and without a look ahead."""

from __future__ import annotations

import numpy as np
import pytest

from services.reports.daily.model import HORIZONS, Direction, SymbolState
from services.reports.daily.outcomes import outcomes, past_returns, wilson
from services.reports.daily.recorded import SIGNAL_TYPES, ReportInput
from tests.report_samples import model_of, real_input, sample_input

CLOSE = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, 400)))


@pytest.mark.parametrize(
    ("hits", "n", "expected"),
    # statsmodels 0.14 proportion_confint(hits, n, method="wilson"), and Wilson's own case of no hits.
    [(8, 10, (0.4901625, 0.9433178)), (60, 125, (0.3943, 0.5669)), (0, 30, (0.0, 0.1135))],
)
def test_wilson(hits: int, n: int, expected: tuple[float, float]) -> None:
    assert wilson(hits, n) == pytest.approx(expected, abs=1e-4)


def test_outcomes_are_those_of_a_loop() -> None:
    rows = np.arange(0, 400, 7)
    kinds = np.array([at % 2 for at in range(len(rows))])
    found = outcomes([past_returns(CLOSE, rows, kinds, ())], 0, Direction.DOWN, "same symbol")
    for at, horizon in enumerate(HORIZONS):
        returns = [CLOSE[row + horizon] / CLOSE[row] - 1 for row, kind in zip(rows, kinds, strict=True) if kind == 0 and row + horizon < 400]
        every = [CLOSE[row + horizon] / CLOSE[row] - 1 for row in range(400 - horizon)]
        result = found.horizons[at]
        assert (result.sessions, result.n) == (horizon, len(returns))
        if len(returns) < 30:
            assert result.text == f"too few (n={len(returns)}, needs 30)"
            assert (result.hit_rate, result.base_rate, result.quantiles) == (None, None, None)
            continue
        assert result.hit_rate == pytest.approx(np.mean([value < 0 for value in returns]))
        assert result.base_rate == pytest.approx(np.mean([value < 0 for value in every]))
        assert result.mean_return == pytest.approx(np.mean(returns))
        assert result.median_return == pytest.approx(np.median(returns))
    assert {item.is_enough for item in found.horizons} == {False}


def test_thirty_are_enough_and_twenty_nine_are_not() -> None:
    rows = np.arange(29)
    few = outcomes([past_returns(CLOSE, rows, rows * 0, ())], 0, Direction.UP, "same symbol")
    assert few.horizons[0].text == "too few (n=29, needs 30)"
    rows = np.arange(30)
    enough = outcomes([past_returns(CLOSE, rows, rows * 0, ())], 0, Direction.UP, "same symbol")
    assert enough.is_enough
    assert enough.horizons[0].text.startswith("up in ")


def test_windows_over_a_split_do_not_count() -> None:
    split = np.where(np.arange(400) < 200, 2 * CLOSE, CLOSE)
    rows = np.arange(400)
    whole = past_returns(CLOSE, rows, rows * 0, ())
    over = past_returns(split, rows, rows * 0, (200,))
    for at, horizon in enumerate(HORIZONS):
        assert over.sessions[at] == whole.sessions[at] - horizon
        assert over.by_type[0][at].min() > -0.4


def test_nothing_after_the_day_is_known() -> None:
    # The report of an earlier day, from a record that ends then, counts only what had come out by then.
    report = model_of(real_input("2009-03-09"))
    for signal in report.signals:
        symbol = next(item for item in report.symbols if item.symbol == signal.symbol)
        assert symbol.last.date == "2009-03-09"
    later = model_of(real_input("2013-03-01"))
    (signal,) = later.signals
    assert [item.n for item in signal.own.horizons] == sorted((item.n for item in signal.own.horizons), reverse=True)


def test_own_outcomes_are_taken_where_there_are_enough() -> None:
    report = model_of(real_input("2013-03-01"))
    (signal,) = report.signals
    assert (signal.symbol, signal.type) == ("AAPL.XNAS", "macd_cross_down")
    assert signal.outcomes is signal.own
    large = model_of(sample_input(60, 262))
    assert any(item.outcomes is item.all and not item.own.is_enough for item in large.signals)
    assert all(item.all.symbols <= large.coverage.arrived + large.coverage.late for item in large.signals)


def test_the_outcomes_of_all_symbols_are_the_sum_of_each() -> None:
    record = sample_input(20, 400, troubled=False)
    report = model_of(record)
    for signal in report.signals:
        counted = sum(_earlier(record, item.symbol, signal.type) for item in report.symbols if item.state is SymbolState.ARRIVED)
        assert signal.all.horizons[0].n == counted


def _earlier(record: ReportInput, symbol: str, kind: str) -> int:
    item = next(item for item in record.symbols if item.symbol == symbol)
    number = SIGNAL_TYPES.index(kind)
    return int(np.count_nonzero((item.signals.type == number) & (item.signals.row < len(item.bars) - 1)))
