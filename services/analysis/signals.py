"""The signals: crossings of one indicator through another or through a level, at the close of a final bar.

Up means: at or below at the bar before, above now. Down means: at or above at the bar before, below now. Both bars must have values.
Strength is the distance after the crossing, 0 to 1. For two lines, and for MACD's zero line, it is measured in average true ranges (at most 1, and 1 where
that range is 0); for RSI it is the part of the way from the level to the end of the scale.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np

from services.analysis.indicators.kernels import Crossings, FloatArray, Rules
from services.analysis.indicators.momentum import MACD_FAST, MACD_SIGNAL, MACD_SLOW, RSI_PERIOD
from services.analysis.indicators.registry import COLUMN
from services.analysis.indicators.volatility import ATR_PERIOD

UP, DOWN = 1, -1
#: RSI's scale ends here.
RSI_TOP = 100.0
#: Appended to a column's name for its value at the bar before.
PREVIOUS = "_previous"

_RSI = f"rsi_{RSI_PERIOD}"
_MACD = f"macd_{MACD_FAST}_{MACD_SLOW}_{MACD_SIGNAL}"
_ATR = f"atr_{ATR_PERIOD}"
ATR_COLUMN = COLUMN[_ATR]


@dataclass(frozen=True, slots=True)
class SignalRule:
    """One type of signal."""

    type: str
    """Name on the wire."""
    direction: int
    """Where price is expected to go: +1 up, -1 down."""
    crossing: int
    """+1: `left` crosses from at or below to above; -1: from at or above to below."""
    left: str
    """Column that crosses."""
    right: str | None
    """Column that is crossed; None means the level."""
    level: float
    """Level that is crossed when there is no right column."""

    on_rsi_scale: bool = field(init=False)
    """Whether strength is measured on RSI's scale, and not in average true ranges."""
    value_names: tuple[str, ...] = field(init=False)
    """Names of the values it is decided on, sorted."""
    places: tuple[int, ...] = field(init=False)
    """Where those values are among a bar's columns followed by left and right at the bar before."""
    pick: Callable[[list[float]], tuple[float, ...]] = field(init=False)
    """Takes them from there."""

    def __post_init__(self) -> None:
        columns = (self.left,) if self.right is None else (self.left, self.right)
        scale = () if self.left == _RSI else (_ATR,)
        object.__setattr__(self, "on_rsi_scale", self.left == _RSI)
        object.__setattr__(self, "value_names", tuple(sorted((*columns, *(name + PREVIOUS for name in columns), *scale))))
        place = dict(COLUMN) | {name + PREVIOUS: len(COLUMN) + at for at, name in enumerate(columns)}
        object.__setattr__(self, "places", tuple(place[name] for name in self.value_names))
        object.__setattr__(self, "pick", itemgetter(*self.places))

    def check(self, values: Mapping[str, float]) -> float | None:
        """Decides again from the values alone: the strength, 0..1, or None when this is not such a signal."""
        now, before = values[self.left], values[self.left + PREVIOUS]
        limit, was = (self.level, self.level) if self.right is None else (values[self.right], values[self.right + PREVIOUS])
        return self.decide(now, before, limit, was, 0.0 if self.on_rsi_scale else values[_ATR])

    def decide(self, now: float, before: float, limit: float, was: float, atr: float) -> float | None:
        """As `check`: left now and at the bar before, what it crosses now and then, and the average true range (not looked at on RSI's scale)."""
        distance = (now - limit) * self.crossing
        if not ((before - was) * self.crossing <= 0.0 and distance > 0.0):
            return None
        if self.on_rsi_scale:
            return distance / (RSI_TOP - self.level if self.crossing > 0 else self.level)
        return min(1.0, distance / atr) if atr > 0.0 else 1.0


RULES: tuple[SignalRule, ...] = (
    SignalRule("golden_cross", UP, UP, "sma_50", "sma_200", 0.0),
    SignalRule("death_cross", DOWN, DOWN, "sma_50", "sma_200", 0.0),
    SignalRule("rsi_overbought", DOWN, UP, _RSI, None, 70.0),
    SignalRule("rsi_oversold", UP, DOWN, _RSI, None, 30.0),
    SignalRule("rsi_bullish", UP, UP, _RSI, None, 50.0),
    SignalRule("rsi_bearish", DOWN, DOWN, _RSI, None, 50.0),
    SignalRule("macd_cross_up", UP, UP, _MACD, f"{_MACD}_signal", 0.0),
    SignalRule("macd_cross_down", DOWN, DOWN, _MACD, f"{_MACD}_signal", 0.0),
    SignalRule("macd_zero_cross_up", UP, UP, _MACD, None, 0.0),
    SignalRule("macd_zero_cross_down", DOWN, DOWN, _MACD, None, 0.0),
)
RULE_BY_TYPE: Mapping[str, SignalRule] = {rule.type: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class Signal:
    """What happened at one bar."""

    row: int
    """Which of the bars it came with, from 0."""
    rule: SignalRule
    """Its type and direction."""
    strength: float
    """0..1, see the module."""
    values: tuple[float, ...]
    """What it was decided on, in the order of `rule.value_names`."""


def compiled_rules() -> Rules:
    """The rules as the kernel takes them."""
    return Rules(
        left=np.array([COLUMN[rule.left] for rule in RULES], np.int64),
        right=np.array([-1 if rule.right is None else COLUMN[rule.right] for rule in RULES], np.int64),
        level=np.array([rule.level for rule in RULES], np.float64),
        direction=np.array([rule.crossing for rule in RULES], np.int64),
    )


def read_crossings(crossings: Crossings, values: FloatArray) -> tuple[Signal, ...]:
    """The signals that the kernel found, in the order of their bars and, within a bar, of RULES.

    values: shape (rows, columns), what the kernel wrote with them.
    """
    rows = crossings.row
    each = zip(rows.tolist(), crossings.rule.tolist(), crossings.before.tolist(), values[rows].tolist(), strict=True)
    return tuple(_signal(row, RULES[rule], before, now) for row, rule, before, now in each)


def _signal(row: int, rule: SignalRule, before: list[float], now: list[float]) -> Signal:
    limit, was = (rule.level, rule.level) if rule.right is None else (now[COLUMN[rule.right]], before[1])
    strength = rule.decide(now[COLUMN[rule.left]], before[0], limit, was, now[ATR_COLUMN])
    if strength is None:
        raise AssertionError(f"{rule.type}: the compiled pass and the rule disagree on {now} after {before}")
    return Signal(row, rule, strength, rule.pick(now + before))
