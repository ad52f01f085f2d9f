"""The indicators as a textbook writes them: one formula a function, over all closes at once, in plain Python. Nothing of the product is used."""

from __future__ import annotations

import math
from itertools import pairwise

Column = list[float]

NAN = math.nan

#: Names of the columns of `all_columns`.
NAMES = (
    *(f"sma_{period}" for period in (5, 20, 50, 60, 200, 300)),
    *(f"ema_{period}" for period in (9, 12, 21, 26, 50)),
    "rsi_14",
    *("macd_12_26_9", "macd_12_26_9_signal", "macd_12_26_9_hist"),
    *("bbands_20_2_upper", "bbands_20_2_middle", "bbands_20_2_lower"),
    "atr_14",
)

#: Of each type of signal: the column that crosses, what it crosses, whether upwards, the direction in which price is expected to go.
SIGNALS: dict[str, tuple[str, str | float, bool, int]] = {
    "golden_cross": ("sma_50", "sma_200", True, 1),
    "death_cross": ("sma_50", "sma_200", False, -1),
    "rsi_overbought": ("rsi_14", 70.0, True, -1),
    "rsi_oversold": ("rsi_14", 30.0, False, 1),
    "rsi_bullish": ("rsi_14", 50.0, True, 1),
    "rsi_bearish": ("rsi_14", 50.0, False, -1),
    "macd_cross_up": ("macd_12_26_9", "macd_12_26_9_signal", True, 1),
    "macd_cross_down": ("macd_12_26_9", "macd_12_26_9_signal", False, -1),
    "macd_zero_cross_up": ("macd_12_26_9", 0.0, True, 1),
    "macd_zero_cross_down": ("macd_12_26_9", 0.0, False, -1),
}


def sma(close: Column, period: int) -> Column:
    return [math.fsum(close[i - period + 1 : i + 1]) / period if i >= period - 1 else NAN for i in range(len(close))]


def ema(values: Column, period: int, first: int = 0) -> Column:
    """first: where the values begin; everything before is ignored."""
    out = [NAN] * len(values)
    seed = first + period - 1
    if seed >= len(values):
        return out
    out[seed] = math.fsum(values[first : seed + 1]) / period
    for i in range(seed + 1, len(values)):
        out[i] = out[i - 1] + (values[i] - out[i - 1]) * 2 / (period + 1)
    return out


def wilder(values: Column, period: int) -> Column:
    """Mean of values 1 to period, then (previous * (period - 1) + value) / period; value 0 does not exist."""
    out = [NAN] * len(values)
    if len(values) <= period:
        return out
    out[period] = math.fsum(values[1 : period + 1]) / period
    for i in range(period + 1, len(values)):
        out[i] = (out[i - 1] * (period - 1) + values[i]) / period
    return out


def rsi(close: Column, period: int) -> Column:
    changes = [NAN, *(b - a for a, b in pairwise(close))]
    gains = wilder([max(x, 0.0) for x in changes], period)
    losses = wilder([max(-x, 0.0) for x in changes], period)
    return [NAN if math.isnan(g) else 100 * g / (g + loss) if g + loss else 0.0 for g, loss in zip(gains, losses, strict=True)]


def macd(close: Column, fast: int, slow: int, signal: int) -> tuple[Column, Column, Column]:
    line = [a - b for a, b in zip(ema(close, fast, slow - fast), ema(close, slow), strict=True)]
    smooth = ema(line, signal, slow - 1)
    line = [NAN if math.isnan(s) else x for x, s in zip(line, smooth, strict=True)]
    return line, smooth, [a - b for a, b in zip(line, smooth, strict=True)]


def bands(close: Column, period: int, width: float) -> tuple[Column, Column, Column]:
    middle = sma(close, period)
    half = [NAN] * len(close)
    for i in range(period - 1, len(close)):
        half[i] = width * math.sqrt(math.fsum((x - middle[i]) ** 2 for x in close[i - period + 1 : i + 1]) / period)
    upper = [m + h for m, h in zip(middle, half, strict=True)]
    return upper, middle, [m - h for m, h in zip(middle, half, strict=True)]


def atr(high: Column, low: Column, close: Column, period: int) -> Column:
    ranges = [max(high[i], close[i - 1]) - min(low[i], close[i - 1]) for i in range(1, len(close))]
    return wilder([NAN, *ranges], period)


def all_columns(high: Column, low: Column, close: Column) -> list[Column]:
    """Every column, in the registry's order."""
    return [
        *(sma(close, period) for period in (5, 20, 50, 60, 200, 300)),
        *(ema(close, period) for period in (9, 12, 21, 26, 50)),
        rsi(close, 14),
        *macd(close, 12, 26, 9),
        *bands(close, 20, 2),
        atr(high, low, close, 14),
    ]


def crossings(left: Column, right: Column, up: bool) -> list[int]:
    """Bars at which left goes through right."""
    found = []
    for i in range(1, len(left)):
        values = (left[i - 1], right[i - 1], left[i], right[i])
        if any(map(math.isnan, values)):
            continue
        if (left[i - 1] <= right[i - 1] and left[i] > right[i]) if up else (left[i - 1] >= right[i - 1] and left[i] < right[i]):
            found.append(i)
    return found
