import pytest

from services.runtime.quiet import until_quiet_ns

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("phase", "wait"), [(0, 0.3), (0.1, 0.2), (0.3, 0), (0.6, 0), (0.9, 0.4), (0.95, 0.35)], ids=["begin", "burst", "quiet", "middle", "end", "late"]
)
def test_there_is_time_from_three_to_nine_tenths_of_each_second(phase: float, wait: float) -> None:
    moment = 1_700_000_000 * SECOND + int(phase * SECOND)
    assert until_quiet_ns(moment) == round(wait * SECOND)
