"""The synthetic symbol."""

from hypothesis import given
from hypothesis import strategies as st

from services.prices.feeds.ports import NS, Stored
from services.prices.feeds.synthetic import Synthetic, price_at, size_at, tick_at
from tests.unit.prices.feeds.feed_kit import VirtualClock, collect, sent_rows


@given(st.integers(0, 7_258_118_399))
def test_a_tick_depends_on_its_second_alone_and_can_be_traded(second: int) -> None:
    tick = tick_at(second)
    assert (int(tick.price[0]), int(tick.size[0])) == (price_at(second), size_at(second))
    assert 8_000 <= price_at(second) <= 12_000
    assert 1 <= size_at(second) <= 100
    assert int(tick.ts_event[0]) == second * NS


async def test_one_tick_for_each_second_of_the_wall_clock() -> None:
    clock = VirtualClock()
    steps = await collect(Synthetic(clock).steps(Stored()), rows=5)
    start = 1_767_571_200
    assert sent_rows(steps) == [(start + each, (start + each) * NS) for each in range(1, 6)]
    assert [step.promise for step in steps if step.rows is not None] == [(start + each + 1) * NS for each in range(1, 6)]


async def test_a_second_that_is_stored_is_not_sent_again() -> None:
    clock = VirtualClock()
    second = clock.now_ns() // NS + 1
    steps = await collect(Synthetic(clock).steps(Stored(last_seq=second, last_ts=second * NS)), rows=1)
    assert sent_rows(steps)[0][0] == second + 1


async def test_seconds_missed_in_a_stall_are_not_made_up() -> None:
    clock = VirtualClock()
    feed = Synthetic(clock).steps(Stored())
    first = sent_rows(await collect(feed, rows=1))[0][0]
    clock.advance(60)
    following = sent_rows(await collect(Synthetic(clock).steps(Stored(last_seq=first, last_ts=first * NS)), rows=1))[0][0]
    assert following >= first + 60
