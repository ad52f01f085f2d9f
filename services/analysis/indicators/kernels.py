# ruff: noqa: PLR0917 - numba compiles positional arguments to plain registers; keywords would only be checked at compile time
"""The compiled pass: one bar after the other, every indicator in constant time, bit for bit as TA-Lib orders its operations.

All compiled code is in this file and takes periods and rules as arguments, because numba's cache looks at the time stamp of one file only: a constant
or a function taken from another module would stay as it was when it was compiled.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from numba import config, float64, njit
from numba.extending import intrinsic

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Bollinger's variance comes from running sums of distances to an anchor. TA-Lib 0.8 takes a new anchor (the window's mean) and sums anew when the variance is
#: this small a part of the mean square, when the square that leaves was this many times the rest, and in any case after this many windows: so errors neither
#: grow nor hide the variance.
_CANCELLED, _OUTLIER, _WINDOWS = 1e-6, 1e6, 32
#: Below this part of the mean square, with a fresh anchor, the variance is rounding noise: zero.
_NOISE = 1e-12


class State(NamedTuple):
    """Everything that is known of each series; row s belongs to series s. All arrays have `capacity` rows."""

    bars: IntArray
    """Bars taken so far."""
    origin: IntArray
    """Open time of the first bar, UTC ns."""
    last: IntArray
    """Open time of the last bar, UTC ns."""
    closes: FloatArray
    """Ring of the last closes, shape (capacity, longest window); bar i is at i modulo the window."""
    sma: FloatArray
    """Running sums of closes, shape (capacity, number of SMAs)."""
    ema: FloatArray
    """Sum of closes until seeded, the average from then on; shape (capacity, number of EMAs)."""
    rsi: FloatArray
    """Sums of gains and losses over the first period, Wilder's averages from then on; shape (capacity, 2)."""
    macd: FloatArray
    """Fast, slow and signal EMA, sums until seeded; shape (capacity, 3)."""
    bands: FloatArray
    """Sum of closes, anchor, sum of distances to the anchor, sum of their squares; shape (capacity, 4)."""
    bands_left: IntArray
    """Bars until the anchor is taken anew."""
    atr: FloatArray
    """Sum of true ranges over the first period, Wilder's average from then on."""
    values: FloatArray
    """The last bar's values, shape (capacity, columns)."""


class Parameters(NamedTuple):
    """Periods in bars and factors."""

    sma: IntArray
    """Periods, shape (number of SMAs,)."""
    ema: IntArray
    """Periods, shape (number of EMAs,)."""
    ema_factor: FloatArray
    """2 / (period + 1), shape (number of EMAs,)."""
    rsi: int
    """Period."""
    macd: IntArray
    """Periods: fast, slow, signal."""
    macd_factor: FloatArray
    """2 / (period + 1) of the three."""
    bands: int
    """Period."""
    bands_width: float
    """Standard deviations on each side."""
    atr: int
    """Period."""


class Rules(NamedTuple):
    """When a signal happens; shape (number of rules,) each. A rule is a crossing of one column through another, or through a level."""

    left: IntArray
    """Column that crosses."""
    right: IntArray
    """Column that is crossed; -1 means the level."""
    level: FloatArray
    """Level that is crossed when there is no right column."""
    direction: IntArray
    """+1: from at or below to above; -1: from at or above to below."""


class Crossings(NamedTuple):
    """Room for the crossings of one pass; shape (rows * rules,) each."""

    row: IntArray
    """Row of the values."""
    rule: IntArray
    """Which rule."""
    before: FloatArray
    """Left and right value at the bar before, shape (rows * rules, 2)."""

    def part(self, first: int, end: int) -> "Crossings":
        """Those from `first` to before `end`."""
        return Crossings(self.row[first:end], self.rule[first:end], self.before[first:end])


# No fastmath: operations must stay in TA-Lib's order. nogil: many symbols are computed side by side in threads.
# Nothing is allocated and all arrays belong to the caller, so reference counts (atomic, several for each bar: 340 ns instead of 50) are left out with _nrt.
# numba documents error_model and nogil only; should _nrt ever go, compiling fails at once and loudly.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_inner = njit(forceinline=True, **_OPTIONS)


def _fused(typing_context: object, a: object, b: object, c: object) -> tuple[object, object]:
    def code(context: object, builder: Any, signature: object, arguments: tuple[object, object, object]) -> object:
        return builder.fma(*arguments)

    return float64(float64, float64, float64), code


def _plain_fma(a: float, b: float, c: float) -> float:
    return float(Fraction(a) * Fraction(b) + Fraction(c))


#: a * b + c rounded once, as TA-Lib computes its exponential averages; the same on every machine, in hardware where there is any.
_fma = cast("Callable[[float, float, float], float]", _plain_fma if getattr(config, "DISABLE_JIT") else intrinsic(_fused))  # noqa: B009 - made when numba is imported


@_inner
def _slot(now: int, back: int, window: int) -> int:
    """Place in the ring of the close `back` bars before the one at `now`; 0 <= back < window. Cheaper than a modulo."""
    slot = now - back
    return slot if slot >= 0 else slot + window


@_inner
def _sma(total: FloatArray, closes: FloatArray, s: int, k: int, period: int, bar: int, now: int, close: float) -> float:
    total[s, k] += close
    if bar < period - 1:
        return np.nan
    mean: float = total[s, k] / period
    total[s, k] -= closes[s, _slot(now, period - 1, closes.shape[1])]
    return mean


@_inner
def _ema(previous: float, bar: int, first: int, period: int, factor: float, value: float) -> float:
    """Advances an EMA whose seed is the mean of bars first .. first + period - 1; until then `previous` is the sum so far."""
    if bar < first:
        return 0.0
    if bar < first + period - 1:
        return previous + value
    if bar == first + period - 1:
        return (previous + value) / period
    return _fma(value - previous, factor, previous)


@_inner
def _rsi(averages: FloatArray, s: int, period: int, bar: int, change: float) -> float:
    if bar == 0:
        return np.nan
    rise = change if change > 0.0 else 0.0
    gain, loss = averages[s, 0], averages[s, 1]
    if bar > period:
        gain *= period - 1
        loss *= period - 1
    gain += rise
    loss += rise - change
    if bar >= period:
        part = 1.0 / period
        gain *= part
        loss *= part
    averages[s, 0], averages[s, 1] = gain, loss
    if bar < period:
        return np.nan
    total = gain + loss
    return 100.0 * (gain / total) if total > 0.0 else 0.0


@_inner
def _macd(averages: FloatArray, s: int, periods: IntArray, factors: FloatArray, bar: int, close: float) -> tuple[float, float]:
    """The line and its signal; the fast seed ends on the bar on which the slow one ends."""
    fast, slow, signal = periods[0], periods[1], periods[2]
    averages[s, 0] = _ema(averages[s, 0], bar, slow - fast, fast, factors[0], close)
    averages[s, 1] = _ema(averages[s, 1], bar, 0, slow, factors[1], close)
    line = averages[s, 0] - averages[s, 1]
    averages[s, 2] = _ema(averages[s, 2], bar, slow - 1, signal, factors[2], line)
    if bar < slow + signal - 2:
        return np.nan, np.nan
    return line, averages[s, 2]


@_inner
def _anchor_bands(sums: FloatArray, closes: FloatArray, s: int, period: int, now: int) -> float:
    """Takes the window's mean as anchor, sums anew and returns the variance; the window ends at `now`."""
    window = closes.shape[1]
    part = 1.0 / period
    total = 0.0
    for back in range(period - 1, -1, -1):
        total += closes[s, _slot(now, back, window)]
    anchor = total * part
    distances = 0.0
    squares = 0.0
    for back in range(period - 1, -1, -1):
        distance = closes[s, _slot(now, back, window)] - anchor
        distances += distance
        squares += distance * distance
    sums[s, 1], sums[s, 2], sums[s, 3] = anchor, distances, squares
    mean = distances * part
    variance = squares * part - mean * mean
    return 0.0 if variance < squares * part * _NOISE else variance


@_inner
def _variance(sums: FloatArray, left: IntArray, closes: FloatArray, s: int, period: int, now: int) -> float:
    """Population variance of the last `period` closes; afterwards the sums no longer hold the oldest of them."""
    part = 1.0 / period
    oldest = closes[s, _slot(now, period - 1, closes.shape[1])]
    mean = sums[s, 2] * part
    variance: float = sums[s, 3] * part - mean * mean
    leaving = oldest - sums[s, 1]
    rest = sums[s, 3] - leaving * leaving
    cancelled = variance < rest * part * _CANCELLED or leaving * leaving > rest * _OUTLIER
    if not cancelled:
        left[s] -= 1
    if cancelled or left[s] == 0:
        variance = _anchor_bands(sums, closes, s, period, now)
        left[s] = _WINDOWS * period
        leaving = oldest - sums[s, 1]
    sums[s, 2] -= leaving
    sums[s, 3] -= leaving * leaving
    return variance


@_inner
def _bands(sums: FloatArray, left: IntArray, closes: FloatArray, s: int, period: int, bar: int, now: int, close: float) -> tuple[float, float]:
    """The middle and one standard deviation."""
    if bar == 0:
        sums[s, 1] = close
        left[s] = _WINDOWS * period
    distance = close - sums[s, 1]
    sums[s, 0] += close
    sums[s, 2] += distance
    sums[s, 3] += distance * distance
    if bar < period - 1:
        return np.nan, np.nan
    middle = sums[s, 0] / period
    deviation = np.sqrt(_variance(sums, left, closes, s, period, now))
    sums[s, 0] -= closes[s, _slot(now, period - 1, closes.shape[1])]
    return middle, deviation


@_inner
def _atr(average: FloatArray, s: int, period: int, bar: int, true_range: float) -> float:
    if bar == 0:
        return np.nan
    now: float = average[s]
    if bar > period:
        keep = (period - 1) / period
        now = _fma(now, keep, true_range * (1.0 - keep))
    else:
        now += true_range
        if bar == period:
            now /= period
    average[s] = now
    return now if bar >= period else np.nan


@_inner
def _indicators(state: State, parameters: Parameters, s: int, high: float, low: float, close: float, values: FloatArray, row: int) -> None:
    """Takes one bar into a series and writes its values, NaN where an indicator is warming up."""
    window = state.closes.shape[1]
    bar = state.bars[s]
    now = bar % window
    previous = state.closes[s, _slot(now, 1, window)]
    state.closes[s, now] = close
    column = 0
    for k in range(parameters.sma.shape[0]):
        values[row, column] = _sma(state.sma, state.closes, s, k, parameters.sma[k], bar, now, close)
        column += 1
    for k in range(parameters.ema.shape[0]):
        period = parameters.ema[k]
        average = _ema(state.ema[s, k], bar, 0, period, parameters.ema_factor[k], close)
        state.ema[s, k] = average
        values[row, column] = average if bar >= period - 1 else np.nan
        column += 1
    values[row, column] = _rsi(state.rsi, s, parameters.rsi, bar, close - previous)
    line, signal = _macd(state.macd, s, parameters.macd, parameters.macd_factor, bar, close)
    values[row, column + 1] = line
    values[row, column + 2] = signal
    values[row, column + 3] = line - signal
    middle, deviation = _bands(state.bands, state.bands_left, state.closes, s, parameters.bands, bar, now, close)
    values[row, column + 4] = middle + deviation * parameters.bands_width
    values[row, column + 5] = middle
    values[row, column + 6] = middle - deviation * parameters.bands_width
    values[row, column + 7] = _atr(state.atr, s, parameters.atr, bar, max(high - low, abs(previous - high), abs(previous - low)))
    state.bars[s] = bar + 1


@_inner
def _crossed(direction: int, left_before: float, right_before: float, left: float, right: float) -> bool:
    """Whether left went through right. A comparison with NaN is false, so nothing happens while either bar is warming up."""
    if direction > 0:
        return left_before <= right_before and left > right
    return left_before >= right_before and left < right


@_inner
def _find_crossings(rules: Rules, last: FloatArray, s: int, values: FloatArray, row: int, found: int, crossings: Crossings) -> int:
    """Notes the rules that hold at this bar; returns how many crossings there are now."""
    for rule in range(rules.left.shape[0]):
        left, right = rules.left[rule], rules.right[rule]
        before = rules.level[rule] if right < 0 else last[s, right]
        limit = rules.level[rule] if right < 0 else values[row, right]
        if _crossed(rules.direction[rule], last[s, left], before, values[row, left], limit):
            crossings.row[found] = row
            crossings.rule[found] = rule
            crossings.before[found, 0] = last[s, left]
            crossings.before[found, 1] = before
            found += 1
    return found


@njit(cache=True, **_OPTIONS)
def advance(
    state: State,
    parameters: Parameters,
    rules: Rules,
    series: IntArray,
    ts_open: IntArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    rows: IntArray,
    values: FloatArray,
    crossings: Crossings,
) -> tuple[int, int]:
    """Takes bars into their series, in order.

    series: row of the state, shape (n,). ts_open: UTC ns. high, low, close: prices. A bar that does not open after the last one of its series is left out.
    Writes rows (shape (n,): which bars were taken), values (shape (n, columns): theirs) and crossings.
    Returns the number of bars taken and of crossings found.
    """
    taken = 0
    found = 0
    for at in range(series.shape[0]):
        s = series[at]
        if state.bars[s] == 0:
            state.origin[s] = ts_open[at]
        elif ts_open[at] <= state.last[s]:
            continue
        state.last[s] = ts_open[at]
        _indicators(state, parameters, s, high[at], low[at], close[at], values, taken)
        found = _find_crossings(rules, state.values, s, values, taken, found, crossings)
        for column in range(values.shape[1]):
            state.values[s, column] = values[taken, column]
        rows[taken] = at
        taken += 1
    return taken, found
