"""When rows of a replay are due."""

from contextlib import aclosing
from itertools import pairwise
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.prices.feeds.pacing import HEARTBEAT_S, MAX_GAP_S, MAX_ROWS, QUANTUM_S, Due, Pacer, Schedule
from services.prices.feeds.ports import NS, Int64Array
from tests.unit.prices.feeds.feed_kit import VirtualClock


def _times(*seconds: float) -> Int64Array:
    return np.array([round(each * NS) for each in seconds], np.int64)


async def _play(pacer: Pacer, clock: VirtualClock, ts: Int64Array) -> list[tuple[int, Due]]:
    async with aclosing(pacer.play(ts)) as dues:
        return [(clock.monotonic_ns(), due) async for due in dues]


def test_rows_are_due_at_their_distance_divided_by_the_speed() -> None:
    schedule = Schedule(_times(100, 160, 161.5), speed=60)
    assert [schedule.due_at(row) for row in range(3)] == [0, NS, NS + NS // 40]
    assert (schedule.due_by(NS - 1), schedule.due_by(NS)) == (1, 2)


def test_a_pause_is_shortened_to_five_seconds_of_wall_time() -> None:
    schedule = Schedule(_times(0, 299, 299 + 301, 10_000), speed=60)
    assert np.allclose([schedule.due_at(row) / NS for row in range(4)], [0, 299 / 60, 299 / 60 + MAX_GAP_S, 299 / 60 + 2 * MAX_GAP_S])
    assert [schedule.before_gap(row) for row in range(5)] == [False, False, True, True, False]


def test_the_time_of_the_replay_moves_between_rows_and_waits_for_none() -> None:
    schedule = Schedule(_times(0, 60, 10_000), speed=60)
    assert schedule.event_time(1, NS // 2) == 30 * NS
    assert schedule.event_time(1, 2 * NS) == 60 * NS
    assert schedule.event_time(2, NS) == 10_000 * NS, "before a shortened pause the next row's time is promised"
    assert schedule.event_time(3, 0) == 10_000 * NS


@given(
    gaps=st.lists(st.floats(0, 1000), min_size=1, max_size=60),
    speed=st.sampled_from([0.5, 1.0, 60.0, 5000.0, inf]),
    cut=st.integers(0, 60),
)
async def test_every_row_comes_once_in_order_never_early_and_never_below_the_promise(gaps: list[float], speed: float, cut: int) -> None:
    clock, ts = VirtualClock(), np.cumsum(_times(1e9, *gaps))
    parts = [part for part in (ts[:cut], ts[cut:]) if len(part)]
    pacer, at, promise, sent = Pacer(speed, clock), 0, 0, 0
    due_ns = np.cumsum(np.minimum(np.diff(ts, prepend=ts[0]) / speed, MAX_GAP_S * NS))
    for part in parts:
        for now, due in await _play(pacer, clock, part):
            assert due.first == at
            assert promise <= int(part[due.first]) if due.last > due.first else True
            assert due.last == due.first or now + 1 >= due_ns[sent + due.last - due.first - 1] - 1
            at, promise, sent = due.last, due.now, sent + due.last - due.first
            assert at == len(part) or promise <= int(part[at])
        at = 0
    assert sent == len(ts)


async def test_while_nothing_is_due_the_promise_moves_on_with_the_heartbeat() -> None:
    clock = VirtualClock()
    seen = await _play(Pacer(60, clock), clock, _times(0, 240))
    beats = [now for now, _ in seen]
    assert all(0 < (b - a) / NS <= HEARTBEAT_S + 1e-6 for a, b in pairwise(beats))
    assert [due.now for _, due in seen] == sorted(due.now for _, due in seen)


async def test_light_traffic_is_gathered_for_a_few_milliseconds() -> None:
    clock = VirtualClock()
    seen = await _play(Pacer(1, clock), clock, np.arange(1000, dtype=np.int64) * 1_000_000)
    assert len(seen) <= 1.0 / QUANTUM_S + 2


async def test_after_a_stall_what_is_overdue_comes_in_large_parts() -> None:
    clock, ts = VirtualClock(), np.arange(3 * MAX_ROWS, dtype=np.int64) * 1_000_000
    dues: list[Due] = []
    async with aclosing(Pacer(1, clock).play(ts)) as playing:
        async for due in playing:
            dues.append(due)
            if len(dues) == 1:
                clock.advance(1000)
    assert [due.last - due.first for due in dues[1:]] == [MAX_ROWS, MAX_ROWS, MAX_ROWS - 1]
    assert dues[1].lag_ns == pytest.approx(1000 * NS, rel=0.01)


async def test_time_spent_between_two_parts_is_not_added() -> None:
    clock = VirtualClock()
    pacer = Pacer(1, clock)
    await _play(pacer, clock, _times(0, 2))
    clock.advance(0.5)
    seen = await _play(pacer, clock, _times(3, 4))
    assert seen[-1][0] / NS == pytest.approx(4, abs=0.01)
