"""Rings against plain lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.hub.history import BarHistory, Columns, IndicatorHistory, SignalHistory
from gateway.hub.rows import SignalRow
from tests.unit.gateway.hubs import bar


@settings(max_examples=150, deadline=None)
@given(capacity=st.integers(1, 200), sizes=st.lists(st.integers(0, 300), max_size=8))
def test_a_ring_keeps_the_last_rows(capacity: int, sizes: list[int]) -> None:
    ring = Columns(capacity, 2, 1)
    plain: list[int] = []
    for size in sizes:
        rows = np.arange(len(plain), len(plain) + size, dtype=np.int64)
        ring.append(np.column_stack([rows, -rows]), rows[:, None] / 2)
        plain += rows.tolist()
    assert ring.count == len(plain)
    assert ring.first == max(0, len(plain) - capacity)
    assert [ring.ints(number) for number in range(ring.first, ring.count)] == [[n, -n] for n in plain[ring.first :]]
    assert [ring.floats(number) for number in range(ring.first, ring.count)] == [[n / 2] for n in plain[ring.first :]]


@settings(max_examples=150, deadline=None)
@given(batches=st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), min_size=1, max_size=12), max_size=10))
def test_each_identity_is_kept_once(batches: list[list[tuple[int, int]]]) -> None:
    history = BarHistory(500)
    seen: list[tuple[int, int]] = []
    for batch in batches:
        new = history.add(np.array([bar(number, revision=revision) for number, revision in batch], np.int64))
        fresh = [pair for position, pair in enumerate(batch) if pair not in seen and pair not in batch[:position]]
        assert new == len(fresh)
        seen += fresh
    kept = [history.row(number) for number in range(history.first(), history.count())]
    assert [(row.ts_open // 60_000_000_000, row.revision) for row in kept] == seen


def test_what_has_left_the_ring_stays_seen() -> None:
    history = BarHistory(10)
    rows = np.array([bar(number) for number in range(100)], np.int64)
    assert history.add(rows) == 100
    assert history.add(rows) == 0
    assert history.add(np.array([bar(50), bar(99), bar(100)], np.int64)) == 1
    assert history.newest == bar(100).ts_open


def test_indicators_keep_values_with_their_times() -> None:
    history = IndicatorHistory(3, ("a", "b"))
    ints = np.array([[number, 0, 2, 0] for number in range(5)], np.int64)
    assert history.add(ints, np.arange(10.0).reshape(5, 2)) == 5
    assert history.add(ints[2:], np.zeros((3, 2))) == 0
    assert [history.row(number)[5] for number in range(history.first(), history.count())] == [(4.0, 5.0), (6.0, 7.0), (8.0, 9.0)]


def test_signals_of_one_bar_differ_by_type() -> None:
    history = SignalHistory(3)

    def add(number: int, kind: str) -> bool:
        return history.add(SignalRow(number, number + 1, 0, kind, 1, 1.0, 1.0, 0.5, (), (), 2, 0))

    assert [add(1, "a"), add(1, "b"), add(1, "a"), add(2, "a"), add(3, "a"), add(1, "a"), add(2, "a")] == [True, True, False, True, True, False, False]
    assert [history.row(number).ts_open for number in range(history.first(), history.count())] == [1, 2, 3]
