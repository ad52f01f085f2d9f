"""When each row of a replay is due, and the loop that hands rows on when they are."""

from collections.abc import AsyncIterator
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
    """

    def __init__(self, ts_event: Int64Array, speed: float, max_gap_s: float = MAX_GAP_S) -> None:
        self._ts, self._speed = ts_event, speed
        gaps = np.diff(ts_event, prepend=ts_event[:1]) / speed
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


async def play(schedule: Schedule, clock: Clock) -> AsyncIterator[Due]:
    """Hands on rows when they are due, and the replay's time at least every HEARTBEAT_S. Ends with the last row."""
    began, sent, rows = clock.monotonic_ns(), 0, len(schedule)
    while True:
        elapsed = clock.monotonic_ns() - began
        last = min(schedule.due_by(elapsed), sent + MAX_ROWS)
        lag = max(0, elapsed - schedule.due_at(sent)) if last > sent else 0
        due = Due(sent, last, schedule.event_time(last, elapsed), lag, schedule.before_gap(last) and last > sent)
        yield due
        sent = last
        if sent >= rows:
            return
        wait_s = (schedule.due_at(sent) - (clock.monotonic_ns() - began)) / NS
        behind = due.last - due.first == MAX_ROWS
        await clock.sleep(0 if behind else min(max(wait_s, QUANTUM_S), HEARTBEAT_S))
