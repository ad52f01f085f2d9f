"""The rules: provenance, strength, direction."""

from __future__ import annotations

import numpy as np
import pytest

from services.analysis.engine import Engine
from services.analysis.signals import PREVIOUS, RULE_BY_TYPE, RULES
from tests.unit.analysis import series

RSI, LINE, LINE_SIGNAL = "rsi_14", "macd_12_26_9", "macd_12_26_9_signal"


def rsi(before: float, now: float) -> dict[str, float]:
    return {RSI + PREVIOUS: before, RSI: now}


def macd(before: tuple[float, float], now: tuple[float, float], atr: float) -> dict[str, float]:
    return {LINE + PREVIOUS: before[0], LINE_SIGNAL + PREVIOUS: before[1], LINE: now[0], LINE_SIGNAL: now[1], "atr_14": atr}


@pytest.mark.parametrize(
    ("type_", "values", "strength"),
    [
        ("rsi_overbought", rsi(69, 76), 0.2),
        ("rsi_overbought", rsi(70, 70.3), 0.01),
        ("rsi_overbought", rsi(71, 76), None),
        ("rsi_overbought", rsi(69, 70), None),
        ("rsi_oversold", rsi(31, 15), 0.5),
        ("rsi_oversold", rsi(31, 30), None),
        ("rsi_bullish", rsi(50, 75), 0.5),
        ("rsi_bearish", rsi(60, 0), 1.0),
        ("macd_cross_up", macd((1.0, 1.0), (3.0, 2.0), 4.0), 0.25),
        ("macd_cross_up", macd((1.5, 1.0), (3.0, 2.0), 4.0), None),
        ("macd_cross_up", macd((0.0, 1.0), (9.0, 2.0), 4.0), 1.0),
        ("macd_cross_down", macd((2.0, 1.0), (1.0, 2.0), 2.0), 0.5),
        ("macd_zero_cross_up", macd((0.0, 0.0), (0.5, 0.0), 0.0), 1.0),
        ("macd_zero_cross_down", macd((0.1, 0.0), (-0.5, 0.0), 1.0), 0.5),
    ],
)
def test_rules(type_: str, values: dict[str, float], strength: float | None) -> None:
    assert RULE_BY_TYPE[type_].check(values) == pytest.approx(strength)


def test_directions() -> None:
    assert {rule.type: rule.direction for rule in RULES} == {
        "golden_cross": 1,
        "death_cross": -1,
        "rsi_overbought": -1,
        "rsi_oversold": 1,
        "rsi_bullish": 1,
        "rsi_bearish": -1,
        "macd_cross_up": 1,
        "macd_cross_down": -1,
        "macd_zero_cross_up": 1,
        "macd_zero_cross_down": -1,
    }


@pytest.mark.parametrize("name", series.hard())
def test_each_signal_can_be_decided_again_from_its_values(name: str) -> None:
    close = series.hard()[name]
    engine = Engine()
    step = engine.feed(series.bars_of(engine.series("A.XSIM", 1), np.arange(1, len(close) + 1), *series.around(close), close))
    for signal in step.signals():
        assert signal.rule.value_names == tuple(sorted(signal.rule.value_names))
        assert signal.rule.check(dict(zip(signal.rule.value_names, signal.values, strict=True))) == signal.strength
        assert 0.0 < signal.strength <= 1.0


def test_a_bar_has_each_signal_once() -> None:
    engine = Engine()
    step = engine.feed(series.bars_of(engine.series("A.XSIM", 1), np.arange(1, 3001), *series.walk(3000)))
    identities = [(signal.row, signal.rule.type) for signal in step.signals()]
    assert len(identities) == len(set(identities)) > 100
    assert identities == sorted(identities, key=lambda identity: (identity[0], [rule.type for rule in RULES].index(identity[1])))
