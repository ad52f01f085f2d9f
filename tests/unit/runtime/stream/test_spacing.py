"""How often checkpoints are written."""

from __future__ import annotations

from services.runtime.stream.worker import checkpoint_spacing_ns

SECOND = 1_000_000_000


def test_a_quick_checkpoint_comes_at_the_interval() -> None:
    assert checkpoint_spacing_ns(SECOND // 50, SECOND) == SECOND


def test_a_large_state_takes_a_tenth_of_the_time() -> None:
    assert checkpoint_spacing_ns(SECOND // 2, SECOND) == 5 * SECOND


def test_a_checkpoint_that_waited_for_the_broker_is_soon_followed_by_the_next() -> None:
    assert checkpoint_spacing_ns(60 * SECOND, SECOND) == 65 * SECOND
    assert checkpoint_spacing_ns(60 * SECOND, 10 * SECOND) == 65 * SECOND
