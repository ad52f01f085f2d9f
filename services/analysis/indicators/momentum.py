"""Momentum of the close: RSI (Wilder) and MACD.

RSI: 100 * gain / (gain + loss), gains and losses smoothed by Wilder's method after a plain mean over the first n changes; 0 when nothing moved at all
(TA-Lib's answer, where others say 50). Source: Wilder, New Concepts in Technical Trading Systems (1978), as TA-Lib's RSI.

MACD: fast EMA minus slow EMA; its signal line is an EMA of that. TA-Lib seeds the fast EMA with the closes that end where the slow one's seed ends, not with
the first ones, and shows all three lines only when the last of them has a value. Source: Appel (1979), as TA-Lib's MACD.
"""

from services.analysis.indicators.base import Indicator

#: Bars; Wilder's choice.
RSI_PERIOD = 14
#: Bars: fast, slow, signal; Appel's choice.
MACD_FAST, MACD_SLOW, MACD_SIGNAL = 12, 26, 9

_MACD_NAME = f"macd_{MACD_FAST}_{MACD_SLOW}_{MACD_SIGNAL}"
_MACD_PARAMETERS = (MACD_FAST, MACD_SLOW, MACD_SIGNAL)
_MACD_LOOKBACK = MACD_SLOW - 1 + MACD_SIGNAL - 1


def _macd(suffix: str, what: str) -> Indicator:
    return Indicator(_MACD_NAME + suffix, _MACD_PARAMETERS, _MACD_LOOKBACK, "macd", f"{what}; as TA-Lib's MACD (Appel 1979).")


INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        f"rsi_{RSI_PERIOD}",
        (RSI_PERIOD,),
        RSI_PERIOD,
        "rsi",
        "Relative strength index with Wilder's smoothing, 0 to 100; as TA-Lib's RSI (Wilder 1978).",
    ),
    _macd("", f"EMA({MACD_FAST}) minus EMA({MACD_SLOW}) of the close"),
    _macd("_signal", f"EMA({MACD_SIGNAL}) of the MACD line"),
    _macd("_hist", "MACD line minus its signal line"),
)
