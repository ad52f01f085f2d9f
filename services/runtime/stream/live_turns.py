"""When a partition shows what is not final yet: as soon as a fetch's records are processed, not too often, and for a part of a worker's time only."""

from __future__ import annotations

from collections.abc import Iterable

#: Part of a worker's time that `live` may take, and while it is behind: whoever watches then sees forming bars less often, and final ones sooner.
SHARE, SHARE_BEHIND = 0.5, 0.1
#: A partition without new records is looked at as often: what was held back may be due.
REST_NS = 50_000_000
#: A turn that took longer than so many times the one before was interrupted, and says nothing of the next. Nanoseconds are added for the first.
_MOST_GROWTH, _ANY_TURN_NS = 2, 1_000_000


class LiveTurns:
    """Whose turn it is. Times are monotonic nanoseconds.

    interval_ns: least time between two turns of a partition that showed something.
    """

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._next_ns: dict[int, int] = {}
        """When a partition may show new records."""
        self._rested_ns: dict[int, int] = {}
        """When a partition is looked at although there is nothing new."""
        self._free_ns = 0
        self._cost_ns = 0

    def in_order(self, partitions: Iterable[int]) -> list[int]:
        """Those that showed something longest ago come first: where turns take all the time they may, each gets some."""
        return sorted(partitions, key=lambda partition: self._next_ns.get(partition, 0))

    def due_ns(self, partition: int, *, news: bool) -> int:
        """When it is this partition's turn, at the earliest. news: whether it has records that were not shown."""
        return max(self._free_ns, (self._next_ns if news else self._rested_ns).get(partition, 0))

    def took(self, partition: int, begin_ns: int, end_ns: int, *, shown: bool, behind: bool) -> None:
        """A turn is over. shown: whether anything was. behind: whether records wait for the worker."""
        self._rested_ns[partition] = begin_ns + REST_NS
        if shown:
            self._next_ns[partition] = begin_ns + self._interval_ns
        self._cost_ns = min(end_ns - begin_ns, _MOST_GROWTH * self._cost_ns + _ANY_TURN_NS)
        self._free_ns = begin_ns + int(self._cost_ns / (SHARE_BEHIND if behind else SHARE))
