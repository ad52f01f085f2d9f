"""How often checkpoints are written, when in the second, and how many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from services.runtime.stream.checkpoint_turns import LOOK_SECONDS, CheckpointTurns, checkpoint_spacing_ns
from services.runtime.testing import ManualClock

SECOND = 1_000_000_000
MOST = 1_000


@dataclass(eq=False)
class Partition:
    """What is used of a pipeline."""

    number: int
    has_news: bool = True
    checkpoint_due_ns: int = 0
    unacknowledged_bytes: int = 0


def partitions(count: int) -> list[Any]:
    return list(map(Partition, range(count)))


def run(turns: CheckpointTurns, clock: ManualClock, pipelines: list[Any], seconds: float) -> list[tuple[float, list[int]]]:
    """Which checkpoints begin, and at which part of a second, when each takes a millisecond."""
    begun = []
    for _ in range(int(seconds / LOOK_SECONDS)):
        clock.advance(LOOK_SECONDS)
        now: list[Any] = turns.next(pipelines, [])
        for pipeline in now:
            turns.took(pipeline, clock.monotonic_ns(), SECOND // 1000, 1_000)
        if now:
            begun.append((clock.now_ns() % SECOND / SECOND, [pipeline.number for pipeline in now]))
    return begun


def test_a_quick_checkpoint_comes_at_the_interval() -> None:
    assert checkpoint_spacing_ns(SECOND // 50, 1_000, SECOND) == SECOND


def test_a_large_state_takes_a_tenth_of_the_time() -> None:
    assert checkpoint_spacing_ns(SECOND // 2, 1_000, SECOND) == 5 * SECOND


def test_a_large_state_is_written_less_often_up_to_a_bound() -> None:
    assert checkpoint_spacing_ns(SECOND // 50, 256 << 10, SECOND) == SECOND
    assert checkpoint_spacing_ns(SECOND // 50, 1 << 20, SECOND) == 2 * SECOND
    assert checkpoint_spacing_ns(SECOND // 50, 1 << 30, SECOND) == 5 * SECOND + SECOND // 50


def test_a_checkpoint_that_waited_for_the_broker_is_soon_followed_by_the_next() -> None:
    assert checkpoint_spacing_ns(60 * SECOND, 1_000, SECOND) == 65 * SECOND
    assert checkpoint_spacing_ns(60 * SECOND, 1_000, 10 * SECOND) == 65 * SECOND


@pytest.mark.parametrize("count", [1, 4, 30])
def test_they_are_written_one_by_one_where_there_is_time_in_the_second(count: int) -> None:
    clock = ManualClock(7 * SECOND)
    turns, pipelines = CheckpointTurns(SECOND, MOST, clock), partitions(count)
    turns.spread(pipelines)
    begun = run(turns, clock, pipelines, 10)
    assert {len(numbers) for _, numbers in begun} == {1}
    assert all(0.3 <= phase < 0.9 + LOOK_SECONDS for phase, _ in begun)
    assert all(sum(number in numbers for _, numbers in begun) >= 9 for number in range(count))


def test_of_very_many_several_begin_at_once() -> None:
    clock = ManualClock(7 * SECOND)
    turns, pipelines = CheckpointTurns(SECOND, MOST, clock), partitions(100)
    turns.spread(pipelines)
    begun = run(turns, clock, pipelines, 10)
    assert max(len(numbers) for _, numbers in begun) == 4
    assert all(sum(number in numbers for _, numbers in begun) >= 9 for number in range(100))


def test_short_intervals_wait_for_no_time_in_the_second() -> None:
    clock = ManualClock(7 * SECOND)
    turns, pipelines = CheckpointTurns(SECOND // 20, MOST, clock), partitions(4)
    turns.spread(pipelines)
    begun = run(turns, clock, pipelines, 2)
    assert any(phase < 0.3 for phase, _ in begun)
    assert all(sum(number in numbers for _, numbers in begun) >= 30 for number in range(4))


def test_much_input_waits_for_nothing() -> None:
    clock = ManualClock(7 * SECOND)
    turns, (one, other) = CheckpointTurns(SECOND, MOST, clock), partitions(2)
    turns.spread([one, other])
    assert not turns.next([one, other], [])
    other.unacknowledged_bytes = MOST
    assert turns.next([one, other], []) == [other]
    assert not turns.next([one, other], [other])


def test_nothing_is_written_of_what_has_no_news() -> None:
    clock = ManualClock(7 * SECOND)
    turns, pipelines = CheckpointTurns(SECOND, MOST, clock), partitions(1)
    turns.spread(pipelines)
    pipelines[0].has_news = False
    assert not run(turns, clock, pipelines, 3)
