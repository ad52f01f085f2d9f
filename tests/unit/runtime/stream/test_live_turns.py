"""How often forming bars are asked for: after records at once, not too often, a part of the worker's time, a smaller one while it is behind."""

import pytest

from services.runtime.stream.live_turns import REST_NS, SHARE, SHARE_BEHIND, LiveTurns

INTERVAL_NS = 10_000_000
STEP_NS = 100_000


def run(turns: LiveTurns, takes_ns: list[int], *, behind: bool = False) -> list[int]:
    """When each turn of a partition that always has news begins, when turns take as long as named and somebody looks all the time."""
    now, begun = 1_000_000_000, []
    for takes in takes_ns:
        while now < turns.due_ns(0, news=True):
            now += STEP_NS
        begun.append(now)
        turns.took(0, now, now + takes, shown=True, behind=behind)
        now += takes
    return begun


def test_news_after_a_pause_is_shown_at_once_and_then_at_the_interval() -> None:
    turns, now = LiveTurns(INTERVAL_NS), 5_000_000_000
    assert turns.due_ns(0, news=True) <= now
    turns.took(0, now, now + 1_000, shown=True, behind=False)
    assert turns.due_ns(0, news=True) == now + INTERVAL_NS


def test_partitions_do_not_wait_for_each_other() -> None:
    turns, now = LiveTurns(INTERVAL_NS), 5_000_000_000
    turns.took(0, now, now + 1_000, shown=True, behind=False)
    assert turns.due_ns(1, news=True) <= now + 2_000 / SHARE


def test_a_partition_without_news_is_looked_at_now_and_then_and_that_delays_no_news() -> None:
    turns, now = LiveTurns(INTERVAL_NS), 5_000_000_000
    turns.took(0, now, now + 1_000, shown=False, behind=False)
    assert turns.due_ns(0, news=False) == now + REST_NS
    assert turns.due_ns(0, news=True) <= now + 2_000 / SHARE


@pytest.mark.parametrize(("behind", "share"), [(False, SHARE), (True, SHARE_BEHIND)])
def test_turns_take_a_bounded_part_of_the_time(behind: bool, share: float) -> None:
    begun = run(LiveTurns(INTERVAL_NS), [40_000_000] * 12, behind=behind)
    # The first say less than they took: they could have been interrupted.
    before, after = begun[-2:]
    assert 40_000_000 / share <= after - before <= 40_000_000 / share + STEP_NS


def test_the_part_counts_for_all_partitions_together() -> None:
    turns, now = LiveTurns(INTERVAL_NS), 5_000_000_000
    for _ in range(12):
        turns.took(0, now, now + 40_000_000, shown=True, behind=False)
    assert turns.due_ns(1, news=True) == now + 40_000_000 / SHARE


def test_one_turn_that_was_interrupted_delays_the_next_by_little() -> None:
    before, after = run(LiveTurns(INTERVAL_NS), [1_000_000, 1_000_000, 300_000_000, 1_000_000], behind=True)[-2:]
    assert after - before <= 300_000_000 + 3_000_000 / SHARE_BEHIND + STEP_NS


def test_the_share_grows_again_when_turns_become_short() -> None:
    before, after = run(LiveTurns(INTERVAL_NS), [*[40_000_000] * 12, 1_000, 1_000])[-2:]
    assert after - before <= INTERVAL_NS + STEP_NS


def test_where_turns_take_all_the_time_each_partition_gets_some() -> None:
    turns, now = LiveTurns(INTERVAL_NS), 5_000_000_000
    shown: list[int] = []
    while len(shown) < 40:
        now += STEP_NS
        for partition in turns.in_order(range(4)):
            if now >= turns.due_ns(partition, news=True):
                turns.took(partition, now, now + 5_000_000, shown=True, behind=True)
                shown.append(partition)
    assert all(shown.count(partition) == 10 for partition in range(4))
