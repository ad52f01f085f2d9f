"""When each row of a replay is due, and the loop that hands rows on when they are."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from math import isinf

import numpy as np

from services.prices.feeds.ports import NS, Int64Array
from services.runtime.clock import Clock

#: A pause is shortened to this much wall time; longer ones look like a fault to whoever watches.
MAX_GAP_S = 5.0
#: Rows due within this time go together: below what a screen shows, and it keeps the record rate low.
QUANTUM_S = 0.005
#: While nothing is due: so often the promise moves on, and so soon the feed notices that it shall stop.
HEARTBEAT_S = 0.25
#: Rows handed on at once when the replay is behind its schedule.
MAX_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Due:
    """Rows [first, last) are due; `now` is the time in the replay, event nanoseconds, never above a row still to come."""

    first: int
    last: int
    now: int
    lag_ns: int
    gap: bool
    """The row after these is so far away that the pause was shortened."""


class Schedule:
    """Due times of rows in nanoseconds since the start of the schedule.

    ts_event: event nanoseconds, not decreasing, n >= 1. speed: event seconds for each wall second, > 0; infinity = all due at once.
    previous: event time of the row before these, due when the schedule starts; None = the first row is due then.
    """

    def __init__(self, ts_event: Int64Array, speed: float, previous: int | None = None, max_gap_s: float = MAX_GAP_S) -> None:
        self._ts, self._speed = ts_event, speed
        gaps = np.diff(ts_event, prepend=ts_event[0] if previous is None else previous) / speed
        limit = max_gap_s * NS
        self._shortened = gaps > limit
        self._due: Int64Array = np.cumsum(np.minimum(gaps, limit)).astype(np.int64)

    def __len__(self) -> int:
        return len(self._ts)

    @property
    def duration_ns(self) -> int:
        """When the last row is due."""
        return int(self._due[-1])

    def due_by(self, elapsed_ns: int) -> int:
        """How many rows are due."""
        return int(np.searchsorted(self._due, elapsed_ns, side="right"))

    def due_at(self, row: int) -> int:
        """When a row is due."""
        return int(self._due[row])

    def before_gap(self, row: int) -> bool:
        """Whether the pause before this row was shortened."""
        return row < len(self._ts) and bool(self._shortened[row])

    def event_time(self, sent: int, elapsed_ns: int) -> int:
        """The replay's time after `sent` rows: between the last row sent and the next, at once at the next when the pause is shortened."""
        if sent >= len(self._ts):
            return int(self._ts[-1])
        if sent == 0 or self._shortened[sent] or isinf(self._speed):
            return int(self._ts[sent])
        passed = (elapsed_ns - int(self._due[sent - 1])) * self._speed
        return int(min(float(self._ts[sent] - self._ts[sent - 1]), max(passed, 0.0))) + int(self._ts[sent - 1])


class Pacer:
    """Hands on rows when they are due, part after part of one long replay. speed: as in Schedule."""

    def __init__(self, speed: float, clock: Clock) -> None:
        self._speed, self._clock = speed, clock
        self._began_ns: int | None = None
        self._previous: int | None = None

    async def play(self, ts_event: Int64Array) -> AsyncGenerator[Due, None]:
        """The next part: its rows when they are due, and the replay's time at least every HEARTBEAT_S. Ends with the last row."""
        schedule = Schedule(ts_event, self._speed, self._previous)
        began = self._clock.monotonic_ns() if self._began_ns is None else self._began_ns
        # The time that it takes to read the next part is not added to the schedule.
        self._began_ns, self._previous = began + schedule.duration_ns, int(ts_event[-1])
        sent = 0
        while True:
            due = _due(schedule, sent, self._clock.monotonic_ns() - began)
            yield due
            sent = due.last
            if sent >= len(schedule):
                return
            wait_s = (schedule.due_at(sent) - (self._clock.monotonic_ns() - began)) / NS
            behind = due.last - due.first == MAX_ROWS
            await self._clock.sleep(0 if behind else min(max(wait_s, QUANTUM_S), HEARTBEAT_S))


def _due(schedule: Schedule, sent: int, elapsed_ns: int) -> Due:
    last = min(schedule.due_by(elapsed_ns), sent + MAX_ROWS)
    some = last > sent
    lag = max(0, elapsed_ns - schedule.due_at(sent)) if some else 0
    return Due(sent, last, schedule.event_time(last, elapsed_ns), lag, some and schedule.before_gap(last))
