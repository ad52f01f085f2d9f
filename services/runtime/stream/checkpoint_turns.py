"""When a partition's checkpoint begins: at the interval, when there is time in the second, and few at a time."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from operator import attrgetter

from services.runtime.clock import Clock
from services.runtime.quiet import QUIET_SHARE, until_quiet_ns
from services.runtime.stream.pipeline import PartitionPipeline

#: Seconds between two looks at which partitions are due.
LOOK_SECONDS = 0.02
#: A checkpoint may take this part of a worker's time; large states are written less often.
_SHARE = 0.1
#: Bytes of state that a partition writes in a second. What a large one costs is paid elsewhere, and in one piece: the loop stands still while it is
#: copied, and the broker unpacks and writes it while ticks wait.
_BYTES_PER_SECOND = 512 << 10
#: Longest pause that follows from that. A checkpoint that waited 7 s for a broker's restart was followed by none for 70 s, and then by a crash
#: that had 70 s to repeat.
_LONGEST_PAUSE_SECONDS = 5.0
#: Intervals from which on checkpoints are written when there is time.
_QUIET_FROM_NS = 1_000_000_000


class CheckpointTurns:
    """Sets `checkpoint_due_ns` of partitions and says whose turn it is. most_unacknowledged: bytes of input from which on a partition does not wait."""

    def __init__(self, interval_ns: int, most_unacknowledged: int, clock: Clock) -> None:
        self._interval_ns, self._most_unacknowledged, self._clock = interval_ns, most_unacknowledged, clock

    def spread(self, pipelines: Collection[PartitionPipeline]) -> None:
        """The first turns, over the interval."""
        now = self._clock.monotonic_ns()
        for turn, pipeline in enumerate(pipelines, start=1):
            pipeline.checkpoint_due_ns = self._quiet(now + self._interval_ns * turn // len(pipelines))

    def took(self, pipeline: PartitionPipeline, begin_ns: int, took_ns: int, size: int) -> None:
        """A checkpoint of `size` bytes is written; sets when the next one begins."""
        pipeline.checkpoint_due_ns = self._quiet(begin_ns + checkpoint_spacing_ns(took_ns, size, self._interval_ns))

    def next(self, pipelines: Collection[PartitionPipeline], writing: Iterable[PartitionPipeline]) -> list[PartitionPipeline]:
        """Those whose checkpoint begins now, at a look. writing: whose last one is not done.

        A snapshot holds up the loop for milliseconds, and several in a row hold it up for long: so many begin at a look that all have had a look
        within the interval.
        """
        now = self._clock.monotonic_ns()
        due = [pipeline for pipeline in pipelines if pipeline.has_news and pipeline not in writing and self._is_due(pipeline, now)]
        most = math.ceil(len(pipelines) * LOOK_SECONDS * 1e9 / (QUIET_SHARE * self._interval_ns))
        return sorted(due, key=attrgetter("checkpoint_due_ns"))[:most]

    def _is_due(self, pipeline: PartitionPipeline, now_ns: int) -> bool:
        return now_ns >= pipeline.checkpoint_due_ns or pipeline.unacknowledged_bytes >= self._most_unacknowledged

    def _quiet(self, due_ns: int) -> int:
        """That monotonic time, or when there is time after it; checkpoints at intervals below a second cannot wait for that."""
        if self._interval_ns < _QUIET_FROM_NS:
            return due_ns
        return due_ns + until_quiet_ns(due_ns + self._clock.now_ns() - self._clock.monotonic_ns())


def checkpoint_spacing_ns(took_ns: int, size: int, interval_ns: int) -> int:
    """Nanoseconds from the beginning of a partition's checkpoint to that of its next one. took_ns, size: time and bytes that the last one took."""
    longest = took_ns + int(_LONGEST_PAUSE_SECONDS * 1e9)
    return max(interval_ns, min(int(took_ns / _SHARE), longest), min(int(size / _BYTES_PER_SECOND * 1e9), longest))
