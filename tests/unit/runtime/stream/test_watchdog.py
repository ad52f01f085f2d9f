from services.runtime.stream.watchdog import StallDetector

S = 10**9


def test_progress_is_fine() -> None:
    stalls = StallDetector(30)
    for second in range(0, 200, 10):
        assert stalls.observe(second * S, {0: second}, {0: 1000}) is None


def test_no_input_is_fine() -> None:
    stalls = StallDetector(30)
    for second in range(0, 200, 10):
        assert stalls.observe(second * S, {0: 7}, {0: 7}) is None


def test_input_without_progress_is_a_stall() -> None:
    stalls = StallDetector(30)
    assert stalls.observe(0, {0: 7, 1: 5}, {0: 8, 1: 5}) is None
    assert stalls.observe(30 * S, {0: 7, 1: 5}, {0: 8, 1: 5}) is None
    reason = stalls.observe(31 * S, {0: 7, 1: 5}, {0: 8, 1: 5})
    assert reason == "no progress for 31 s in 1 partitions, such as 0: at 7 of 8"


def test_the_time_counts_from_when_input_came() -> None:
    stalls = StallDetector(30)
    stalls.observe(0, {0: 7}, {0: 7})
    stalls.observe(100 * S, {0: 7}, {0: 7})
    assert stalls.observe(110 * S, {0: 7}, {0: 9}) is None
    assert stalls.observe(129 * S, {0: 7}, {0: 9}) is None
    assert stalls.observe(132 * S, {0: 7}, {0: 9}) is not None


def test_one_step_forward_starts_the_time_anew() -> None:
    stalls = StallDetector(30)
    stalls.observe(0, {0: 7}, {0: 9})
    stalls.observe(29 * S, {0: 8}, {0: 9})
    assert stalls.observe(58 * S, {0: 8}, {0: 9}) is None
    assert stalls.observe(60 * S, {0: 8}, {0: 9}) is not None


def test_a_partition_that_went_away_is_forgotten() -> None:
    stalls = StallDetector(30)
    stalls.observe(0, {0: 7}, {0: 9})
    assert stalls.observe(100 * S, {}, {}) is None
    assert stalls.observe(101 * S, {0: 7}, {0: 9}) is None


def test_an_unknown_end_is_no_verdict() -> None:
    stalls = StallDetector(30)
    stalls.observe(0, {0: 7}, {})
    assert stalls.observe(100 * S, {0: 7}, {}) is None
