"""Fixed-point bars to what the engine takes."""

import numpy as np
from numpy.typing import NDArray

from services.analysis.engine import Bars, Engine
from services.analysis.indicators.kernels import FloatArray, IntArray
from services.runtime.columns import BarColumns

#: Lengths of the bars that are analysed, in seconds; 86400 means a session.
INTERVALS = (1, 60, 86400)

#: Integers up to here are exact as float64, and so a division by a power of ten is rounded once.
_EXACT = 2**53
_POWERS = np.array([10.0**digits for digits in range(10)])


def to_float(fixed: IntArray, digits: NDArray[np.int64]) -> FloatArray:
    """fixed / 10**digits, correctly rounded; shape (n,) each, digits 0..9."""
    floats: FloatArray = fixed / _POWERS[digits]
    for at in np.flatnonzero((fixed > _EXACT) | (fixed < -_EXACT)):
        # Integers divide exactly in Python; as float64 the numerator would be rounded before.
        floats[at] = int(fixed[at]) / 10 ** int(digits[at])
    return floats


def analysed_rows(bars: BarColumns) -> IntArray:
    """Numbers of the rows whose interval is analysed, in order."""
    return np.flatnonzero(np.isin(bars.interval, INTERVALS))


def bars_for(engine: Engine, bars: BarColumns, rows: IntArray) -> Bars:
    """Those rows for the engine, which learns of series that are new to it."""
    instrument = bars.instrument[rows]
    price_digits, size_digits = np.array([(item.price_digits, item.size_digits) for item in bars.instruments], np.int64).reshape(-1, 2).T
    digits = price_digits[instrument]
    return Bars(
        series=_series(engine, bars, rows),
        ts_open=bars.ts_open[rows],
        open=to_float(bars.open[rows], digits),
        high=to_float(bars.high[rows], digits),
        low=to_float(bars.low[rows], digits),
        close=to_float(bars.close[rows], digits),
        volume=to_float(bars.volume[rows], size_digits[instrument]),
    )


def _series(engine: Engine, bars: BarColumns, rows: IntArray) -> IntArray:
    step = max(INTERVALS) + 1
    key = bars.instrument[rows].astype(np.int64) * step + bars.interval[rows]
    # By first appearance: a new series' number is part of the state, which must not depend on how numbers sort.
    different, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    numbers = np.empty(len(different), np.int64)
    for at in np.argsort(first):
        instrument, interval = divmod(int(different[at]), step)
        numbers[at] = engine.series(bars.instruments[instrument].symbol, interval)
    series: IntArray = numbers[inverse]
    return series
