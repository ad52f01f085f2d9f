"""How often forming bars are asked for: a part of the worker's time, a smaller one while it is behind."""

from types import SimpleNamespace
from typing import Any

import pytest

from services.runtime.stream.worker import _LIVE_SHARE, _LIVE_SHARE_BEHIND, StreamWorker

INTERVAL_NS = 20_000_000


class StepClock:
    """Time goes on only when a pipeline works."""

    def __init__(self) -> None:
        self.ns = 1_000

    def monotonic_ns(self) -> int:
        return self.ns

    def now_ns(self) -> int:
        return self.ns


class Pipeline:
    """Takes its time for each call of `live`."""

    def __init__(self, clock: StepClock, takes_ns: int) -> None:
        self.clock, self.takes_ns = clock, takes_ns
        self.calls: list[int] = []

    def live(self, now_ns: int) -> None:
        self.calls.append(now_ns)
        self.clock.ns += self.takes_ns


@pytest.mark.parametrize(
    ("takes_ns", "behind", "spacing_ns"),
    [
        (1_000, False, INTERVAL_NS),
        (1_000, True, INTERVAL_NS),
        (40_000_000, False, 40_000_000 / _LIVE_SHARE),
        (40_000_000, True, 40_000_000 / _LIVE_SHARE_BEHIND),
    ],
)
def test_live_takes_a_bounded_part_of_the_time(takes_ns: int, behind: bool, spacing_ns: float) -> None:
    clock = StepClock()
    pipeline = Pipeline(clock, takes_ns)
    worker: Any = SimpleNamespace(
        _clock=clock,
        _next_live_ns=0,
        _draining=False,
        _outputs=SimpleNamespace(crowded=False),
        _pipelines={0: pipeline},
        _settings=SimpleNamespace(live_interval_ms=20),
        _behind=behind,
    )
    while len(pipeline.calls) < 3:
        StreamWorker._live(worker)
        clock.ns += 100_000
    first, second, third = pipeline.calls
    assert spacing_ns <= second - first <= spacing_ns + 100_000
    assert spacing_ns <= third - second <= spacing_ns + 100_000
