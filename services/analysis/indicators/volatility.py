"""Volatility: Bollinger bands and average true range.

Bands: SMA plus and minus k population standard deviations, from running sums of distances to an anchor that is taken anew when they lose
precision, so that tiny moves at a large price have a width (as TA-Lib does since 0.8).
Source: Bollinger, Bollinger on Bollinger Bands (2001), as TA-Lib's BBANDS.

ATR: Wilder's smoothing of the true range, after a plain mean over the first n. The first bar has no true range, for it has no close before it.
Source: Wilder (1978), as TA-Lib's ATR.
"""

from services.analysis.indicators.base import Indicator

#: Bars, and standard deviations on each side; Bollinger's choice.
BANDS_PERIOD, BANDS_WIDTH = 20, 2
#: Bars; Wilder's choice.
ATR_PERIOD = 14


def _band(suffix: str, what: str) -> Indicator:
    name = f"bbands_{BANDS_PERIOD}_{BANDS_WIDTH}_{suffix}"
    return Indicator(name, (BANDS_PERIOD, BANDS_WIDTH), BANDS_PERIOD - 1, "price", f"{what}; as TA-Lib's BBANDS (Bollinger 2001).")


INDICATORS: tuple[Indicator, ...] = (
    _band("upper", f"Bollinger band: middle plus {BANDS_WIDTH} population standard deviations"),
    _band("middle", f"Bollinger band: simple moving average of the last {BANDS_PERIOD} closes"),
    _band("lower", f"Bollinger band: middle minus {BANDS_WIDTH} population standard deviations"),
    Indicator(
        f"atr_{ATR_PERIOD}",
        (ATR_PERIOD,),
        ATR_PERIOD,
        "atr",
        "Average true range with Wilder's smoothing, in the unit of prices; as TA-Lib's ATR (Wilder 1978).",
    ),
)
