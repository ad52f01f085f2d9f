"""The replay of ES trades: history, loops, and going on after an end or a crash."""

from contextlib import aclosing
from itertools import pairwise
from math import inf

import numpy as np
import pytest

from services.prices.bars import BarEngine
from services.prices.feeds.outbox import Outbox
from services.prices.feeds.ports import NS, WEEK_NS, Step, Stored
from services.prices.feeds.replay_es import ReplayEs
from services.prices.feeds.runner import _take
from services.prices.sequencer import Sequencer
from services.prices.sessions import SessionTable
from services.runtime.testing.kafka import MemoryPublisher
from tests.oracle import Bar
from tests.unit.prices.bar_inputs import LATENESS, bars_of_columns
from tests.unit.prices.feeds.feed_kit import LIVE_FROM_NS, VirtualClock, collect, es_trades, sent_rows, ticks_of

#: Three rows of history, four that are replayed over 90 s, two of them at the same time.
_OFFSETS = (-7200.0, -60.0, -0.001, 0.0, 30.0, 30.0, 90.0)


async def _steps(stored: Stored, rows: int, speed: float = 60) -> tuple[list[Step], VirtualClock]:
    clock = VirtualClock()
    return await collect(ReplayEs(es_trades(_OFFSETS), speed, clock).steps(stored), rows=rows), clock


async def test_history_comes_at_once_then_the_rest_at_the_speed() -> None:
    steps, clock = await _steps(Stored(), rows=7)
    assert [seq for seq, _ in sent_rows(steps)] == [1, 2, 3, 4, 5, 6, 7]
    assert steps[0].rows is not None
    assert len(steps[0].rows) == 3
    assert steps[0].promise == LIVE_FROM_NS
    assert clock.monotonic_ns() / NS == pytest.approx(1.5, abs=0.02)


async def test_loops_are_moved_by_whole_weeks_and_leave_no_row_out() -> None:
    steps, _ = await _steps(Stored(), rows=3 + 4 * 3)
    loops = sent_rows(steps)[3:]
    assert [seq for seq, _ in loops] == [4, 5, 6, 7] * 3
    assert [ts - LIVE_FROM_NS - round(_OFFSETS[seq - 1] * NS) for seq, ts in loops] == [0] * 4 + [WEEK_NS] * 4 + [2 * WEEK_NS] * 4
    assert all(step.replay_shift % WEEK_NS == 0 for step in steps)


async def test_at_the_end_of_a_loop_the_next_one_is_promised_at_once() -> None:
    steps, _ = await _steps(Stored(), rows=3 + 4 + 1)
    urgent = [step for step in steps if step.urgent]
    assert [step.promise for step in urgent] == [LIVE_FROM_NS + WEEK_NS]


async def test_the_promise_never_goes_back_and_no_row_lies_below_it() -> None:
    steps, _ = await _steps(Stored(), rows=40)
    assert all(a.promise <= b.promise for a, b in pairwise(steps))
    assert all(int(after.rows.ts_event[0]) >= before.promise for before, after in pairwise(steps) if after.rows is not None)


@pytest.mark.parametrize("crash_after", range(1, 20))
async def test_a_crash_at_any_row_leaves_no_hole(crash_after: int) -> None:
    first, _ = await _steps(Stored(), rows=crash_after, speed=1e6)
    rows = sent_rows(first)[:crash_after]
    shift = next(step.replay_shift for step in reversed(first) if step.rows is not None)
    again, _ = await _steps(Stored(last_seq=rows[-1][0], last_ts=rows[-1][1], replay_shift=shift), rows=23 - crash_after, speed=1e6)
    expected, _ = await _steps(Stored(), rows=23, speed=1e6)
    assert (rows + sent_rows(again))[:23] == sent_rows(expected)[:23]


async def test_the_feed_ends_where_the_calendar_of_our_records_ends() -> None:
    near_the_end = 7_258_118_400 * NS - LIVE_FROM_NS - 1
    shift = near_the_end // WEEK_NS * WEEK_NS
    stored = Stored(last_seq=7, last_ts=LIVE_FROM_NS + 90 * NS + shift - WEEK_NS, replay_shift=shift - WEEK_NS)
    steps, _ = await _steps(stored, rows=100)
    assert len(sent_rows(steps)) in {4, 0}
    assert all(ts < 7_258_118_400 * NS for _, ts in sent_rows(steps))


#: A session ends in the middle and the next one begins two hours later.
_WITH_A_GAP = (-30.0, 0.0, 0.4, 20.0, 20.0, 61.0, 7_300.0, 7_300.2, 7_345.0)
_TABLE = SessionTable({"CMES": 0}, np.array([0, 2]), LIVE_FROM_NS + np.array([-60, 7_200]) * NS, LIVE_FROM_NS + np.array([100, 9_000]) * NS, np.array([1, 2]))


async def test_before_a_gap_its_end_is_promised_at_once() -> None:
    clock = VirtualClock()
    steps = await collect(ReplayEs(es_trades(_WITH_A_GAP), 60, clock).steps(Stored()), rows=len(_WITH_A_GAP))
    (before,) = [step for step in steps if step.urgent]
    assert before.rows is not None
    assert (int(before.rows.seq[-1]), before.promise) == (6, LIVE_FROM_NS + 7_300 * NS)


async def _bars_at(speed: float) -> list[Bar]:
    """Final bars of the history and two loops, in the order in which they became final."""
    clock, publisher, engine = VirtualClock(), MemoryPublisher(), BarEngine(_TABLE, LATENESS)
    feed = ReplayEs(es_trades(_WITH_A_GAP), speed, clock)
    outbox = Outbox(publisher, clock, feed.source)
    sequencer = Sequencer(outbox, clock, 4, feed.source_kind)
    async with aclosing(feed.steps(Stored())) as steps:
        async for step in steps:
            await _take(step, sequencer)
            if step.replay_shift == 2 * WEEK_NS:
                break
    await outbox.flush()
    found: list[Bar] = []
    for _, batch in ticks_of(publisher):
        progress = engine.process(batch)
        assert not progress.late
        found += bars_of_columns(progress.bars)
    return found


async def test_no_bar_depends_on_the_speed() -> None:
    expected = sorted(await _bars_at(60))
    days = [(bar.ts_open - LIVE_FROM_NS, bar.trade_count, bar.replay_shift) for bar in expected if bar.interval == 86_400]
    assert days == [(-60 * NS, 6, 0), (7_200 * NS, 3, 0), (WEEK_NS - 60 * NS, 5, WEEK_NS), (WEEK_NS + 7_200 * NS, 3, WEEK_NS)]
    for speed in (1, 5_000, inf):
        assert sorted(await _bars_at(speed)) == expected
