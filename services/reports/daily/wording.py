"""What signals are called, and what they mean in plain words."""

from collections.abc import Mapping
from typing import NamedTuple

from services.reports.daily.model import Direction


class SignalWords(NamedTuple):
    """How a type of signal is spoken of."""

    title: str
    meaning: str
    direction: Direction


#: By type; one for each of `recorded.SIGNAL_TYPES`. What exactly they are: services/analysis/signals.py.
SIGNAL_WORDS: Mapping[str, SignalWords] = {
    "golden_cross": SignalWords("Golden cross", "The 50-session average closed above the 200-session average.", Direction.UP),
    "death_cross": SignalWords("Death cross", "The 50-session average closed below the 200-session average.", Direction.DOWN),
    "rsi_overbought": SignalWords("RSI above 70", "The relative strength index rose above 70: a rise that may have gone far.", Direction.DOWN),
    "rsi_oversold": SignalWords("RSI below 30", "The relative strength index fell below 30: a fall that may have gone far.", Direction.UP),
    "rsi_bullish": SignalWords("RSI above 50", "The relative strength index rose above its middle.", Direction.UP),
    "rsi_bearish": SignalWords("RSI below 50", "The relative strength index fell below its middle.", Direction.DOWN),
    "macd_cross_up": SignalWords("MACD crosses up", "MACD rose above its signal line: the trend gathers pace upwards.", Direction.UP),
    "macd_cross_down": SignalWords("MACD crosses down", "MACD fell below its signal line: the trend gathers pace downwards.", Direction.DOWN),
    "macd_zero_cross_up": SignalWords("MACD above zero", "The 12-session average rose above the 26-session average.", Direction.UP),
    "macd_zero_cross_down": SignalWords("MACD below zero", "The 12-session average fell below the 26-session average.", Direction.DOWN),
}
