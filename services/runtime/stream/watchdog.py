"""Finds a worker that is alive and does nothing: Faust is known to stop reading after a rebalance without any error.

The ends of the partitions are asked of the broker, not of the consumer that is watched: when that stops fetching, its high watermarks
stop too, and there is no lag to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class _Progress:
    position: int
    since_ns: int


class StallDetector:
    """Compares positions with the ends of their partitions, over time. Pure.

    stall_seconds: without progress while there is input, after which a partition counts as stalled.
    """

    def __init__(self, stall_seconds: float) -> None:
        self._stall_ns = int(stall_seconds * 1e9)
        self._progress: dict[int, _Progress] = {}

    def observe(self, now_ns: int, positions: Mapping[int, int], ends: Mapping[int, int]) -> str | None:
        """now_ns: monotonic. positions: next offset by partition. ends: end offset, where known. Returns why it is stalled, or None."""
        self._progress = {partition: self._advance(partition, now_ns, position, ends) for partition, position in positions.items()}
        stalled = {partition: progress for partition, progress in self._progress.items() if now_ns - progress.since_ns > self._stall_ns}
        if not stalled:
            return None
        partition, progress = next(iter(stalled.items()))
        seconds = (now_ns - progress.since_ns) / 1e9
        return f"no progress for {seconds:.0f} s in {len(stalled)} partitions, such as {partition}: at {progress.position} of {ends.get(partition)}"

    def _advance(self, partition: int, now_ns: int, position: int, ends: Mapping[int, int]) -> _Progress:
        before = self._progress.get(partition)
        waiting = before is not None and before.position == position and position < ends.get(partition, 0)
        return before if waiting and before is not None else _Progress(position, now_ns)
