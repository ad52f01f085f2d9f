"""How long a tick waits for others."""

from services.prices.batching import BUSY_ROWS, longest_wait_s


def test_few_ticks_wait_shortly_and_many_fill_their_records() -> None:
    assert longest_wait_s(0.005, 0, 0) == 0.005
    assert longest_wait_s(0.005, BUSY_ROWS, 2) == 0.005
    assert longest_wait_s(0.005, 2 * BUSY_ROWS, 2) == 0.01
