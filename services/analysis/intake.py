"""Fixed-point bars to what the engine takes."""

import numpy as np
from numpy.typing import NDArray

from services.analysis.engine import Bars, Engine
from services.analysis.indicators.kernels import FloatArray, IntArray
from services.runtime.columns import BarColumns

#: Lengths of the bars that are analysed, in seconds; 86400 means a session.
INTERVALS = (1, 60, 86400)

_INTERVALS = np.array(INTERVALS, np.uint32)
#: Integers up to here are exact as float64, and so a division by a power of ten is rounded once.
_EXACT = 2**53
_POWERS = np.array([10.0**digits for digits in range(10)])


def to_float(fixed: IntArray, digits: NDArray[np.int64]) -> FloatArray:
    """fixed / 10**digits, correctly rounded; shape (n,) each, digits 0..9."""
    floats: FloatArray = fixed / _POWERS[digits]
    if len(fixed) and (np.maximum.reduce(fixed) > _EXACT or np.minimum.reduce(fixed) < -_EXACT):
        for at in np.flatnonzero((fixed > _EXACT) | (fixed < -_EXACT)):
            # Integers divide exactly in Python; as float64 the numerator would be rounded before.
            floats[at] = int(fixed[at]) / 10 ** int(digits[at])
    return floats


def analysed_rows(bars: BarColumns) -> IntArray:
    """Numbers of the rows whose interval is analysed, in order."""
    rows: IntArray = np.flatnonzero(_INTERVALS[positions_of(bars.interval)] == bars.interval)
    return rows


def positions_of(interval: NDArray[np.uint32]) -> IntArray:
    """Positions in INTERVALS; for another interval that of a longer one."""
    return _INTERVALS[:-1].searchsorted(interval)


def bars_for(engine: Engine, bars: BarColumns, rows: IntArray) -> Bars:
    """Those rows for the engine, which learns of series that are new to it."""
    instrument = bars.instrument[rows]
    price_digits = np.array([item.price_digits for item in bars.instruments], np.int64)
    size_digits = np.array([item.size_digits for item in bars.instruments], np.int64)
    prices = np.array((bars.open[rows], bars.high[rows], bars.low[rows], bars.close[rows]))
    digits = np.broadcast_to(price_digits[instrument], prices.shape)
    open_, high, low, close = to_float(prices.reshape(-1), digits.reshape(-1)).reshape(prices.shape)
    return Bars(
        series=_series(engine, bars, rows),
        ts_open=bars.ts_open[rows],
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=to_float(bars.volume[rows], size_digits[instrument]),
    )


def _series(engine: Engine, bars: BarColumns, rows: IntArray) -> IntArray:
    instrument, position = bars.instrument[rows], positions_of(bars.interval[rows])
    known = np.array([engine.known_series(item.symbol, INTERVALS) for item in bars.instruments], np.int64)
    series: IntArray = known[instrument, position]
    if np.minimum.reduce(series) < 0:
        # By first appearance: a new series' number is part of the state, which must not depend on how numbers sort.
        for row in np.flatnonzero(series < 0).tolist():
            series[row] = engine.series(bars.instruments[instrument[row]].symbol, INTERVALS[position[row]])
    return series
