"""When a partition shows what is not final yet: often, one at a time, and never for more than a part of a worker's time."""

from __future__ import annotations

#: Part of a worker's time that `live` may take, and while it is behind: whoever watches then sees forming bars less often, and final ones sooner.
SHARE, SHARE_BEHIND = 0.5, 0.1
#: A turn that took longer than so many times the one before was interrupted, and says nothing of the next. Nanoseconds are added for the first.
_MOST_GROWTH, _ANY_TURN_NS = 2, 1_000_000


class LiveTurns:
    """Partitions take turns evenly spread over the interval, so that the loop is never held for all of them together.

    interval_ns: from a partition's turn to its next one, unless its share of the time is used up.
    """

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._due_ns = 0
        self._cost_ns = 0
        self._turn = 0

    def is_due(self, now_ns: int) -> bool:
        """Whether it is time for the next turn. now_ns: monotonic."""
        return now_ns >= self._due_ns

    def next(self, partitions: int) -> int:
        """Whose turn it is, 0 to partitions - 1."""
        self._turn = (self._turn + 1) % partitions
        return self._turn

    def took(self, begin_ns: int, end_ns: int, partitions: int, *, behind: bool) -> None:
        """A turn is over. partitions: that take turns. behind: whether records wait for the worker."""
        self._cost_ns = min(end_ns - begin_ns, _MOST_GROWTH * self._cost_ns + _ANY_TURN_NS)
        share = SHARE_BEHIND if behind else SHARE
        self._due_ns = begin_ns + max(self._interval_ns // partitions, int(self._cost_ns / share))
