"""The replay of ES trades: history, loops, and going on after an end or a crash."""

from itertools import pairwise

import pytest

from services.prices.feeds.ports import NS, WEEK_NS, Step, Stored
from services.prices.feeds.replay_es import ReplayEs
from tests.unit.prices.feeds.feed_kit import LIVE_FROM_NS, VirtualClock, collect, es_trades, sent_rows

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
