"""Time as a dependency: nothing else in the code reads a clock or sleeps."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time, durations and sleep."""

    def now_ns(self) -> int:
        """Wall clock, UTC nanoseconds since 1970. May jump; never for durations."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since some fixed moment; for durations only."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after at least `seconds`."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Wall clock, UTC nanoseconds since 1970."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Suspends the task for at least `seconds`: an event loop's timers count whole milliseconds and may come one early."""
        end = time.monotonic() + seconds
        await asyncio.sleep(seconds)
        while (left := end - time.monotonic()) > 0:  # noqa: ASYNC110 - there is no event to wait for, only time
            await asyncio.sleep(left)
