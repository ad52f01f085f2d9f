"""How often forming bars are asked for: each partition in turn, a part of the worker's time, a smaller one while it is behind."""

from itertools import pairwise

import pytest

from services.runtime.stream.live_turns import SHARE, SHARE_BEHIND, LiveTurns

INTERVAL_NS = 20_000_000
STEP_NS = 100_000


def run(turns: LiveTurns, partitions: int, takes_ns: list[int], *, behind: bool = False) -> list[tuple[int, int]]:
    """Begin and partition of each turn, when turns take as long as named and somebody looks all the time."""
    now, begun = 1_000_000_000, []
    for takes in takes_ns:
        while not turns.is_due(now):
            now += STEP_NS
        begun.append((now, turns.next(partitions)))
        turns.took(now, now + takes, partitions, behind=behind)
        now += takes
    return begun


def test_partitions_take_turns_spread_over_the_interval() -> None:
    begun = run(LiveTurns(INTERVAL_NS), 4, [1_000] * 9)
    assert sorted(partition for _, partition in begun[:4]) == [0, 1, 2, 3]
    assert [partition for _, partition in begun[4:8]] == [partition for _, partition in begun[:4]]
    assert all(INTERVAL_NS / 4 <= after - before <= INTERVAL_NS / 4 + STEP_NS for (before, _), (after, _) in pairwise(begun))


@pytest.mark.parametrize(("behind", "share"), [(False, SHARE), (True, SHARE_BEHIND)])
def test_turns_take_a_bounded_part_of_the_time(behind: bool, share: float) -> None:
    begun = run(LiveTurns(INTERVAL_NS), 1, [40_000_000] * 12, behind=behind)
    # The first say less than they took: they could have been interrupted.
    (before, _), (after, _) = begun[-2:]
    assert 40_000_000 / share <= after - before <= 40_000_000 / share + STEP_NS


def test_one_turn_that_was_interrupted_delays_the_next_by_little() -> None:
    begun = run(LiveTurns(INTERVAL_NS), 1, [1_000_000, 1_000_000, 300_000_000, 1_000_000], behind=True)
    (before, _), (after, _) = begun[-2:]
    assert after - before <= 300_000_000 + 3_000_000 / SHARE_BEHIND + STEP_NS


def test_the_share_grows_again_when_turns_become_short() -> None:
    begun = run(LiveTurns(INTERVAL_NS), 1, [*[40_000_000] * 12, 1_000, 1_000])
    (before, _), (after, _) = begun[-2:]
    assert after - before <= INTERVAL_NS + STEP_NS
