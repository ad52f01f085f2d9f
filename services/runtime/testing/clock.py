"""A clock that stands still until it is moved."""

import asyncio
import heapq
import itertools

#: 2026-01-05 00:00:00 UTC, a Monday.
_START_NS = 1_767_571_200 * 10**9


class ManualClock:
    """Clock for tests. Wall and monotonic time advance together, by hand; sleepers wake when their time has come, in order."""

    def __init__(self, now_ns: int = _START_NS) -> None:
        self._began_ns = now_ns
        self._elapsed_ns = 0
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        """Wall clock, UTC nanoseconds."""
        return self._began_ns + self._elapsed_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds since the clock was made."""
        return self._elapsed_ns

    async def sleep(self, seconds: float) -> None:
        """Returns when the clock has been moved by `seconds`; at the next turn of the loop for 0 or less."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_ns + round(seconds * 1e9), next(self._order), future))
        await future

    def advance(self, seconds: float) -> None:
        """Moves time and wakes whoever slept until then."""
        self._elapsed_ns += round(seconds * 1e9)
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_ns:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    @property
    def sleepers(self) -> int:
        """How many tasks sleep now."""
        return sum(1 for _, _, future in self._sleepers if not future.done())
