"""How many a second, without a thread or a timer."""

from services.runtime.clock import Clock

_SECOND_NS = 1_000_000_000


class Rate:
    """Counts events by whole seconds of the monotonic clock; answers with the last full one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._now = 0
        self._before = 0

    def add(self, count: int) -> None:
        """So many events, now."""
        self._turn()
        self._now += count

    def per_second(self) -> float:
        """Events in the last full second."""
        self._turn()
        return float(self._before)

    def _turn(self) -> None:
        second = self._clock.monotonic_ns() // _SECOND_NS
        if second != self._second:
            self._before = self._now if second == self._second + 1 else 0
            self._second, self._now = second, 0
