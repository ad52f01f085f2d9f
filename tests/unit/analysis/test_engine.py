"""The engine as a state machine: naive twin, batches, snapshots, many series, duplicates, versions."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analysis.engine import ENGINE_VERSION, Bars, Engine
from services.analysis.errors import StateMismatch
from services.analysis.indicators import kernels
from services.analysis.indicators.kernels import FloatArray, IntArray
from services.analysis.indicators.registry import COLUMN, NAMES
from services.analysis.signals import RULES, Signal
from services.runtime.stream.state import StateError, pack_state, unpack_state
from tests.unit.analysis import naive, series

#: SHA-256 over values and signals of IBM's daily bars (bokeh_sampledata 2026.1) through engine version 1. When it changes, ENGINE_VERSION must change with it.
GOLDEN = ("1", "fe030bbdd84d5357c265adc67dbcb254a7fb3641765dcb41224bacd86fed2331")


def part(bars: Bars, at: slice | IntArray) -> Bars:
    return Bars(*(getattr(bars, name)[at] for name in Bars.__slots__))


def bits(values: FloatArray) -> bytes:
    return values.tobytes()


def one_series(engine: Engine, count: int, seed: int = 1) -> Bars:
    return series.bars_of(engine.series("A.XSIM", 60), np.arange(1, count + 1, dtype=np.int64), *series.walk(count, seed))


def interleaved(engine: Engine, count: int, streams: int) -> Bars:
    """Bars of several series in turns that are not regular."""
    numbers = np.random.default_rng(3).integers(0, streams, count)
    known = np.array([engine.series(f"S{k}.XSIM", 60) for k in range(streams)], np.int64)
    return series.bars_of(known[numbers], np.arange(1, count + 1, dtype=np.int64), *series.walk(count))


def feed_in_parts(engine: Engine, bars: Bars, cuts: list[int], *, restart: bool) -> tuple[bytes, list[tuple[int, Signal]], Engine]:
    """Values and signals (with the number of their bar) of bars that come in several batches, with a snapshot and restore between them if wanted."""
    values, signals = [], []
    edges = [0, *sorted(cuts), len(bars)]
    for start, end in pairwise(edges):
        step = engine.feed(part(bars, slice(start, end)))
        values.append(bits(step.values))
        signals += [(start + int(step.rows[signal.row]), signal) for signal in step.signals()]
        if restart:
            engine = Engine.restore(engine.snapshot())
    return b"".join(values), signals, engine


def comparable(signals: list[tuple[int, Signal]]) -> list[tuple[int, str, float, tuple[float, ...]]]:
    return [(bar, signal.rule.type, signal.strength, signal.values) for bar, signal in signals]


@pytest.mark.parametrize("source", ["walk", "AAPL"])
def test_equals_the_naive_twin(source: str) -> None:
    bars = series.daily("AAPL")
    high, low, close = series.walk(1000) if source == "walk" else (bars["High"], bars["Low"], bars["Close"])
    values = series.values_of(high, low, close)
    twin = np.column_stack(naive.all_columns(high.tolist(), low.tolist(), close.tolist()))
    # The twin sums exactly; the engine keeps running sums in TA-Lib's order.
    np.testing.assert_allclose(values, twin, rtol=1e-9, atol=1e-9)


def test_signals_equal_the_naive_twin() -> None:
    engine = Engine()
    step = engine.feed(one_series(engine, 3000))
    found: dict[str, list[int]] = {rule.type: [] for rule in RULES}
    for signal in step.signals():
        found[signal.rule.type].append(signal.row)
    for rule in RULES:
        left = step.values[:, COLUMN[rule.left]].tolist()
        right = [rule.level] * len(left) if rule.right is None else step.values[:, COLUMN[rule.right]].tolist()
        assert found[rule.type] == naive.crossings(left, right, rule.crossing > 0), rule.type
    assert all(found.values()), "each type of signal was seen"


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 700), max_size=12), streams=st.integers(1, 40), restart=st.booleans())
def test_batches_and_restarts_change_no_bit(cuts: list[int], streams: int, restart: bool) -> None:
    whole, parted = Engine(), Engine()
    expected = whole.feed(interleaved(whole, 700, streams))
    values, signals, parted = feed_in_parts(parted, interleaved(parted, 700, streams), cuts, restart=restart)
    assert values == bits(expected.values)
    assert comparable(signals) == comparable([(signal.row, signal) for signal in expected.signals()])
    assert parted.snapshot() == whole.snapshot()


def test_series_do_not_touch_each_other() -> None:
    together = Engine()
    bars = interleaved(together, 3000, 7)
    step = together.feed(bars)
    for number in np.unique(bars.series):
        alone = Engine()
        mine = np.flatnonzero(bars.series == number)
        own = part(bars, mine)
        single = alone.feed(Bars(np.full(len(mine), alone.series("A.XSIM", 60)), *(getattr(own, name) for name in Bars.__slots__[1:])))
        assert bits(step.values[mine]) == bits(single.values)


def test_bars_that_do_not_open_later_are_left_out_and_counted() -> None:
    engine, clean = Engine(), Engine()
    bars = one_series(engine, 400)
    order = np.array([*range(200), 50, 199, *range(200, 400), 0], np.int64)
    step = engine.feed(part(bars, order))
    assert engine.duplicates == 3
    assert step.rows.tolist() == [at for at in range(len(order)) if at not in {200, 201, 402}]
    assert bits(step.values) == bits(clean.feed(one_series(clean, 400)).values)
    assert all(signal.row < len(step.rows) for signal in step.signals())


def test_one_symbol_has_a_series_for_each_interval() -> None:
    engine = Engine()
    assert engine.series("A.XSIM", 1) == engine.series("A.XSIM", 1) == 0
    assert engine.series("A.XSIM", 60) == 1
    assert [tuple(key) for key in engine.keys] == [("A.XSIM", 1), ("A.XSIM", 60)]


def test_room_grows_without_changing_what_is_known() -> None:
    small, large = Engine(capacity=1), Engine(capacity=1000)
    for engine in (small, large):
        first = engine.feed(interleaved(engine, 500, 20))
        engine.feed(series.bars_of(engine.series("NEW.XSIM", 1), np.arange(1, 301, dtype=np.int64), *series.walk(300)))
        assert len(first.rows) == 500
    assert small.snapshot() == large.snapshot()


def test_origin_is_the_first_bar() -> None:
    engine = Engine()
    number = engine.series("A.XSIM", 60)
    engine.feed(series.bars_of(number, np.array([77, 78], np.int64), *series.walk(2)))
    engine = Engine.restore(engine.snapshot())
    engine.feed(series.bars_of(number, np.array([79], np.int64), *series.walk(1)))
    assert engine.origins(np.array([number])).tolist() == [77]
    assert engine.bars_taken(number) == 3


def test_nothing_to_feed_is_nothing() -> None:
    engine = Engine()
    step = engine.feed(one_series(engine, 0))
    assert len(step.rows) == 0
    assert step.values.shape == (0, len(NAMES))
    assert step.signals() == ()


def test_a_state_of_another_engine_is_refused() -> None:
    engine = Engine()
    engine.feed(one_series(engine, 10))
    state = unpack_state(engine.snapshot())
    with pytest.raises(StateMismatch, match="another engine"):
        Engine.restore(pack_state(state.arrays, state.meta | {"engine": "0"}))
    with pytest.raises(StateMismatch):
        Engine.restore(pack_state(state.arrays, state.meta | {"names": ["sma_5"]}))
    with pytest.raises(StateError):
        Engine.restore(engine.snapshot()[:-8])


def test_values_and_signals_of_this_version_do_not_change() -> None:
    engine = Engine()
    daily = series.daily("IBM")
    times = np.arange(1, len(daily["Close"]) + 1, dtype=np.int64)
    step = engine.feed(series.bars_of(engine.series("IBM.XNYS", 86400), times, daily["High"], daily["Low"], daily["Close"]))
    digest = hashlib.sha256(bits(step.values))
    for signal in step.signals():
        digest.update(repr((signal.row, signal.rule.type, signal.rule.direction, signal.strength, signal.rule.value_names, signal.values)).encode())
    assert (ENGINE_VERSION, digest.hexdigest()) == GOLDEN


def test_the_compiled_pass_is_used() -> None:
    engine = Engine()
    engine.feed(one_series(engine, 10))
    assert kernels.advance.nopython_signatures, "the kernel ran as plain Python"


def test_whoever_computes_uses_the_same_variant_of_the_pass() -> None:
    # In a process of its own: other tests pass other types on purpose.
    code = (
        "import numpy as np; from services.analysis.engine import Bars, Engine; from services.analysis.indicators.kernels import advance;"
        "from services.analysis.stream import warm_up; warm_up(); engine = Engine(); f = np.ones(9);"
        "engine.feed(Bars(np.full(9, engine.series('A.B', 60), np.int64), np.arange(9), f, f, f, f, f)); assert len(advance.nopython_signatures) == 1"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_warm_up_fills_a_cache_that_other_processes_use() -> None:
    code = (
        "import sys; from services.analysis.engine import warm_up; from services.analysis.indicators.kernels import advance; warm_up(); "
        "assert sum(advance.stats.cache_hits.values()) == 1, advance.stats; assert 'pandas' not in sys.modules"
    )
    for _ in range(2):  # the first may compile
        result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
