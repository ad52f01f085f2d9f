"""Moving averages of the close: simple (SMA) and exponential (EMA).

SMA: mean of the last n closes, as a running sum (TA-Lib's order: add the new close, divide, take the oldest away).
EMA: `prev + (close - prev) * 2 / (n + 1)`, seeded with the mean of the first n closes, as TA-Lib does by default.
"""

from services.analysis.indicators.base import Indicator

#: Bars; the predecessor's set, used by the trend signals and by most chart readers.
SMA_PERIODS = (5, 20, 50, 60, 200, 300)
#: Bars; 12 and 26 are MACD's, 9, 21 and 50 the usual chart set.
EMA_PERIODS = (9, 12, 21, 26, 50)


def simple(period: int) -> Indicator:
    """SMA over `period` bars."""
    return Indicator(f"sma_{period}", (period,), period - 1, "price", f"Simple moving average of the last {period} closes; as TA-Lib's SMA.")


def exponential(period: int) -> Indicator:
    """EMA over `period` bars."""
    return Indicator(
        f"ema_{period}",
        (period,),
        period - 1,
        "price",
        f"Exponential moving average of the close, factor 2/({period}+1), seeded with the mean of the first {period} closes; as TA-Lib's EMA.",
    )


INDICATORS: tuple[Indicator, ...] = (*map(simple, SMA_PERIODS), *map(exponential, EMA_PERIODS))
