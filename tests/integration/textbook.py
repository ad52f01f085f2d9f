"""Indicators and signals of the topics against the formulas of a textbook over the oracle's bars: nothing of the product says what is right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from signalbox.events.v1.analysis_batch_pb2 import SignalRow

from services.runtime.topics import INDICATORS, SIGNALS
from tests.chaos.rows import Identity, Rows, session_of
from tests.oracle import Bar, Row, bars_of
from tests.unit.analysis import naive

#: Seconds; bars of other lengths are not analysed.
ANALYSED = (1, 60, 86400)
#: What the product promises: 1e-9 * max(1, |x|).
TOLERANCE = 1e-9
#: Prices of the load have two digits.
PRICE = 100.0


@dataclass
class Checked:
    """What was compared."""

    indicators: set[Identity]
    signals: set[Identity]
    undecided: int = 0
    """Bars at which two lines are as near to each other as their values are to the textbook's: whether they cross there, it does not say."""


def check_by_textbook(rows: Rows, sent: Iterable[Row]) -> Checked:
    """Every indicator and signal in `rows`, and that none is missing. sent: each tick once, in any order."""
    by_symbol: dict[str, list[Row]] = defaultdict(list)
    for row in sent:
        by_symbol[row.symbol].append(row)
    checked = Checked(set(), set())
    for of_symbol in by_symbol.values():
        for interval, bars in groupby(bars_of(of_symbol, session_of), key=lambda bar: bar.interval):
            if interval in ANALYSED:
                _check_series(rows, list(bars), checked)
    assert checked.indicators == {identity for identity in rows if identity[0] == INDICATORS.name}
    assert checked.signals == {identity for identity in rows if identity[0] == SIGNALS.name}
    return checked


def _check_series(rows: Rows, bars: list[Bar], checked: Checked) -> None:
    high, low, close = ([price / PRICE for price in prices] for prices in zip(*((bar.high, bar.low, bar.close) for bar in bars), strict=True))
    columns = naive.all_columns(high, low, close)
    identities = [_identity(INDICATORS.name, bar) for bar in bars]
    found = np.array([_values(rows[identity]) for identity in identities])
    twin = np.column_stack(columns)
    assert (np.isnan(found) == np.isnan(twin)).all(), identities[0]
    far = np.abs(found - twin) > TOLERANCE * np.maximum(1.0, np.abs(twin))
    assert not far.any(), [(identities[row], naive.NAMES[column]) for row, column in np.argwhere(far)[:3]]
    checked.indicators.update(identities)
    for type_ in naive.SIGNALS:
        _check_signals(rows, bars, dict(zip(naive.NAMES, columns, strict=True)), type_, checked)


def _check_signals(rows: Rows, bars: list[Bar], columns: dict[str, naive.Column], type_: str, checked: Checked) -> None:
    crosses, crossed, up, direction = naive.SIGNALS[type_]
    left, right = columns[crosses], columns[crossed] if isinstance(crossed, str) else [crossed] * len(bars)
    expected = set(naive.crossings(left, right, up))
    near = np.abs(np.subtract(left, right)) <= 2 * TOLERANCE * np.maximum(1.0, np.abs(left))
    for at, bar in enumerate(bars):
        identity = _identity(SIGNALS.name, bar, type_)
        if at and (near[at] or near[at - 1]):
            checked.undecided += 1
        else:
            assert (identity in rows) == (at in expected), identity
        if identity in rows:
            signal = SignalRow.FromString(rows[identity])
            assert (signal.direction, signal.price) == (direction, bar.close / PRICE), identity
            checked.signals.add(identity)


def _identity(topic: str, bar: Bar, type_: str = "") -> Identity:
    return topic, bar.symbol, bar.interval, bar.ts_open, 0, type_


def _values(row: bytes) -> NDArray[np.float64]:
    """As tests.chaos.rows writes them: the values, three integers, the names."""
    count = len(naive.NAMES)
    assert row[8 * (count + 3) :] == ",".join(naive.NAMES).encode()
    return np.frombuffer(row, np.float64, count)
