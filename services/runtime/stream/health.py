"""Whether a stream worker is ready and alive: what the ops server asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from confluent_kafka import KafkaException

from services.runtime.clock import Clock
from services.runtime.logging import get_logger
from services.runtime.stream.offsets import TopicOffsets
from services.runtime.stream.pipeline import PartitionPipeline
from services.runtime.stream.watchdog import StallDetector

_log = get_logger("stream")

#: Seconds for the broker's answer.
_ANSWER_SECONDS = 5.0
#: Seconds, beyond those of a stall, that the group may take to give the partitions out: it waits 10 s for each member.
_REBALANCE_SECONDS = 30.0
#: Seconds without progress while there is input, after which the records are read again. Faust passes over messages in some of its states without a
#: word; what it lost comes on a second reading, and what it did not lose is passed over by us.
_READ_AGAIN_SECONDS = 5.0


class WorkerHealth:
    """Written on the loop's thread, read by the ops server's."""

    def __init__(self, clock: Clock, offsets: TopicOffsets, stall_seconds: float) -> None:
        self._clock = clock
        self._offsets = offsets
        self._stall_seconds = stall_seconds
        self._stalls = StallDetector(stall_seconds)
        self._pauses = StallDetector(_READ_AGAIN_SECONDS)
        self._stalled: str | None = None
        self._turned_ns = clock.monotonic_ns()
        self._not_ready: str | None = "no partitions were assigned yet"
        self._unassigned_ns: int | None = clock.monotonic_ns()

    def turned(self) -> None:
        """The event loop turns."""
        self._turned_ns = self._clock.monotonic_ns()

    def restored(self) -> None:
        """All assigned partitions are restored, even when there are none."""
        self._not_ready = None
        self._unassigned_ns = None

    def revoked(self) -> None:
        """The group gives the partitions out anew."""
        self._not_ready = "partitions are being given out anew"
        self._unassigned_ns = self._clock.monotonic_ns()

    def ending(self, reason: str) -> None:
        """The process is about to end."""
        self._not_ready = reason

    async def watch(self, pipelines: Mapping[int, PartitionPipeline]) -> str | None:
        """Compares positions with the ends of the partitions. A broker that does not answer is no fault of this process, and gives no verdict.

        Returns why the records should be read again from the positions, or None; the time to the next such answer begins anew.
        """
        try:
            extents = await asyncio.to_thread(self._offsets.extents, sorted(pipelines), _ANSWER_SECONDS)
        except KafkaException as error:
            _log.warning("the ends of the partitions are not known", error=str(error))
            return None
        for partition, pipeline in pipelines.items():
            pipeline.report(extents.get(partition))
        positions = {partition: pipeline.position for partition, pipeline in pipelines.items()}
        ends = {partition: extent.end for partition, extent in extents.items()}
        now = self._clock.monotonic_ns()
        stalled = self._stalls.observe(now, positions, ends)
        if stalled is not None and self._stalled is None:
            _log.error("stalled; this process is not alive any more", reason=stalled)
        self._stalled = stalled
        pause = self._pauses.observe(now, positions, ends)
        if pause is not None:
            self._pauses = StallDetector(_READ_AGAIN_SECONDS)
        return pause

    def check_ready(self) -> str | None:
        """Ready when the group has decided and all partitions are restored, also when there are none for us."""
        return self._not_ready

    def check_alive(self) -> str | None:
        """Alive while the loop turns, the group gives us an answer, and records that are there are processed."""
        silent = self._seconds_since(self._turned_ns)
        if silent > self._stall_seconds:
            return f"the event loop has not turned for {silent:.0f} s"
        if self._unassigned_ns is not None:
            waiting = self._seconds_since(self._unassigned_ns)
            if waiting > self._stall_seconds + _REBALANCE_SECONDS:
                return f"the group has decided nothing for {waiting:.0f} s"
        return self._stalled

    def _seconds_since(self, moment_ns: int) -> float:
        return (self._clock.monotonic_ns() - moment_ns) / 1e9
