"""The engine against TA-Lib, on real daily bars and on hard series. Tolerance: 1e-9 * max(1, |x|), the product's promise."""

from __future__ import annotations

import numpy as np
import pytest
import talib
from talib import abstract

from services.analysis.indicators.kernels import FloatArray
from services.analysis.indicators.registry import INDICATORS, NAMES
from tests.unit.analysis import series

TOLERANCE = 1e-9


def by_talib(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """The same columns from TA-Lib, shape (bars, columns)."""
    columns = [
        *(talib.SMA(close, period) for period in (5, 20, 50, 60, 200, 300)),
        *(talib.EMA(close, period) for period in (9, 12, 21, 26, 50)),
        talib.RSI(close, 14),
        *talib.MACD(close, 12, 26, 9),
        *talib.BBANDS(close, 20, 2, 2),
        talib.ATR(high, low, close, 14),
    ]
    return np.column_stack(columns)


def assert_equal_to_talib(high: FloatArray, low: FloatArray, close: FloatArray) -> None:
    ours, theirs = series.values_of(high, low, close), by_talib(high, low, close)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs), err_msg="warm-up")
    errors = np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))
    worst = dict(zip(NAMES, np.nanmax(errors, axis=0, initial=0.0), strict=True))
    assert max(worst.values()) <= TOLERANCE, {name: error for name, error in worst.items() if error > TOLERANCE}


@pytest.mark.parametrize("ticker", ["AAPL", "FB", "GOOG", "IBM", "MSFT"])
def test_daily_bars(ticker: str) -> None:
    bars = series.daily(ticker)
    assert len(bars["Close"]) > 100
    assert_equal_to_talib(bars["High"], bars["Low"], bars["Close"])


@pytest.mark.parametrize("name", series.hard())
def test_hard_series(name: str) -> None:
    close = series.hard()[name]
    assert_equal_to_talib(*series.around(close), close)


@pytest.mark.parametrize("count", [1, 2, 14, 15, 20, 26, 33, 34, 35, 299, 300, 301])
def test_short_series(count: int) -> None:
    assert_equal_to_talib(*series.walk(count))


def lookback(name: str, *parameters: float) -> int:
    return int(abstract.Function(name, *parameters).lookback)  # type: ignore[attr-defined]  # missing in TA-Lib's stubs


def test_lookbacks_are_talibs() -> None:
    lookbacks = {
        **{f"sma_{period}": lookback("SMA", period) for period in (5, 20, 50, 60, 200, 300)},
        **{f"ema_{period}": lookback("EMA", period) for period in (9, 12, 21, 26, 50)},
        "rsi_14": lookback("RSI", 14),
        **dict.fromkeys(("macd_12_26_9", "macd_12_26_9_signal", "macd_12_26_9_hist"), lookback("MACD", 12, 26, 9)),
        **{f"bbands_20_2_{band}": lookback("BBANDS", 20, 2.0, 2.0) for band in ("upper", "middle", "lower")},
        "atr_14": lookback("ATR", 14),
    }
    assert {indicator.name: indicator.lookback for indicator in INDICATORS} == lookbacks


def test_values_begin_exactly_after_the_lookback() -> None:
    values = series.values_of(*series.walk(400))
    first = [int(np.argmin(np.isnan(values[:, column]))) for column in range(values.shape[1])]
    assert first == [indicator.lookback for indicator in INDICATORS]
    assert not any(np.isnan(values[start:, column]).any() for column, start in enumerate(first))
