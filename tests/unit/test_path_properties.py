"""Exact under any disorder: however trades arrive, bars, indicators and signals are the same rows, byte for byte."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.partitions import partition_of
from services.runtime.topics import BARS, INDICATORS, SIGNALS
from tests.oracle import SECOND
from tests.unit.prices.bar_inputs import LATENESS
from tests.unit.whole_path import WEEK, Disturbance, Faults, Feed, Lane, Market, Pattern, has_late_rows, records_of, rows_in, written_by

#: In four partitions each has one of its own, in two each has two.
SYMBOLS = ("AA.XCME", "CC.XXXX", "EE.XSIM", "FF.XSIM")
PARTITIONS = (1, 2, 4)
REPLAY, LIVE = 2, 1
#: Eighteen years.
AHEAD = 939 * WEEK

STEPS_MS = st.one_of(st.sampled_from((0, 0, 1, 400, 999, 1_000, 1_700, 61_000)), st.integers(0, 5_000))
PATTERNS = st.lists(st.tuples(STEPS_MS, st.integers(-50, 50), st.one_of(st.integers(1, 3), st.integers(1, 2**50))), min_size=1, max_size=6)


@st.composite
def markets(draw: st.DrawFn) -> Market:
    """Two sources, years apart or not; a symbol may be of one of them or of both."""
    feeds = (Feed("replay:z", REPLAY, 0, draw(st.sampled_from((0, 3 * WEEK)))), Feed("live:x", LIVE, draw(st.sampled_from((AHEAD, 0)))))
    lanes = []
    for feed in feeds:
        symbols = sorted(draw(st.sets(st.sampled_from(SYMBOLS), min_size=1)))
        lanes += [Lane(feed, symbol, draw(PATTERNS), draw(st.integers(1, 60)), draw(st.booleans())) for symbol in symbols]
    return Market(lanes)


DELAYS = st.one_of(st.integers(0, LATENESS), st.sampled_from((0, LATENESS)))
disturbances = st.builds(
    Disturbance,
    partitions=st.sampled_from(PARTITIONS),
    delays=st.lists(DELAYS, min_size=1, max_size=7),
    repeats=st.lists(st.none() | st.integers(0, 5 * LATENESS), min_size=1, max_size=5),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    promises=st.lists(st.none() | st.sampled_from((0, 1, SECOND)), min_size=1, max_size=5),
    ends_early=st.booleans(),
    faults=st.builds(
        Faults, checkpoint_every=st.sampled_from((1, 3, 10, 1_000)), kills=st.sets(st.integers(0, 1_000), max_size=3), look_every=st.sampled_from((1, 4, 1_000))
    ),
)


@settings(deadline=None, max_examples=120)
@given(market=markets(), disturbance=disturbances)
async def test_no_disturbance_changes_a_row(market: Market, disturbance: Disturbance) -> None:
    plain = Disturbance()
    undisturbed = written_by(await records_of(market, plain), plain)
    expected = rows_in(undisturbed)
    assert not has_late_rows(undisturbed)
    assert {identity: row for identity, row in expected.items() if identity[0] == BARS.name} == market.expected_bars()
    disturbed = rows_in(written_by(await records_of(market, disturbance), disturbance))
    assert sorted(disturbed.items()) == sorted(expected.items())


@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("ahead", [AHEAD, 0])
async def test_signals_of_disturbed_trades_are_the_same(partitions: int, ahead: int) -> None:
    """Enough trades for every topic of the contract, with all disturbances at once; both sources have all symbols."""
    feeds = (Feed("replay:z", REPLAY, 0), Feed("live:x", LIVE, ahead))
    pattern: Pattern = [(700, 13, 1), (0, -5, 2), (0, 0, 2), (1_300, 8, 3), (5, -2, 1)]
    market = Market([Lane(feed, symbol, pattern, 150, falling=True) for feed in feeds for symbol in SYMBOLS])
    faults = Faults(checkpoint_every=10, kills={300, 555, 999}, look_every=7)
    worst = Disturbance(partitions, (0, LATENESS, 5, LATENESS // 2), (None, 1, None, LATENESS, 4 * LATENESS), (1, 40, 7), (None, 0), True, faults)
    rows = rows_in(written_by(await records_of(market, worst), worst))
    plain = replace(worst, delays=(0,), repeats=(None,), cuts=(1,), promises=(None,), faults=Faults())
    assert rows == rows_in(written_by(await records_of(market, plain), plain))
    assert {identity[0] for identity in rows} == {BARS.name, INDICATORS.name, SIGNALS.name}
    assert {identity[1] for identity in rows} == set(SYMBOLS)


def test_the_symbols_are_spread_over_the_partitions() -> None:
    assert [len({partition_of(symbol, count) for symbol in SYMBOLS}) for count in PARTITIONS] == [1, 2, 4]
