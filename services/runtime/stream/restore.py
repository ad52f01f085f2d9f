"""From an assignment to pipelines: read the checkpoints, choose, restore."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from services.runtime.logging import get_logger
from services.runtime.retries import RetryPolicy, retry
from services.runtime.stream import metrics
from services.runtime.stream.app import Assignment
from services.runtime.stream.checkpoint import CheckpointReader, CheckpointWriter, Found
from services.runtime.stream.errors import StartFailed
from services.runtime.stream.manifests import Choice, Rejected
from services.runtime.stream.outputs import OutputProducer
from services.runtime.stream.pipeline import BuryRecord, PartitionPipeline
from services.runtime.stream.records import Processor
from services.runtime.stream.settings import StreamWorkerSettings
from services.runtime.stream.traced import traced
from services.runtime.topics import Topic

_log = get_logger("stream")

#: The leader of a partition may be changing at this moment; more than that and the process ends.
_READ_AGAIN = RetryPolicy(attempts=4, first_s=0.2, cap_s=2.0)


class PartitionOpener:
    """Makes the pipelines of a worker's partitions."""

    def __init__(
        self,
        settings: StreamWorkerSettings,
        input_topic: Topic,
        checkpoint_topic: Topic,
        *,
        make_processor: Callable[[int], Processor],
        outputs: OutputProducer,
        bury: BuryRecord,
    ) -> None:
        self._app = settings.app
        self._topic = input_topic.name
        self._checkpoint_topic = checkpoint_topic.name
        self._make_processor = make_processor
        self._outputs = outputs
        self._bury = bury
        self._reader = CheckpointReader(settings.kafka_bootstrap_servers, settings.app, self._topic, self._checkpoint_topic)

    async def read(self, assignment: Assignment) -> Mapping[int, Found]:
        """The checkpoints of the assigned partitions. Raises StartFailed."""
        return await retry("read checkpoints", partial(asyncio.to_thread, self._reader.read, sorted(assignment.partitions)), (StartFailed,), _READ_AGAIN)

    def open(self, partition: int, found: Found, generation: int) -> PartitionPipeline:
        """The partition as its best checkpoint left it, or from its beginning. generation: of the assignment."""
        processor = traced(self._make_processor(partition))
        choice = found.log.choose(processor.state_version, found.input.end)
        self._report(partition, choice)
        start = found.input.begin
        if choice.best is not None:
            processor.restore(choice.best.state)
            start = self._start(partition, choice.best.next_offset, found.input.begin)
        elif start:
            _log.warning("what came before was removed by retention", topic=self._topic, partition=partition, begin=start)
            processor.begin_behind_cut(found.input.end)
        writer = CheckpointWriter(self._checkpoint_topic, self._app, partition, self._outputs, choice)
        return PartitionPipeline(
            self._topic, partition, start=start, generation=generation, processor=processor, outputs=self._outputs, writer=writer, bury=self._bury
        )

    def _start(self, partition: int, wanted: int, begin: int) -> int:
        """The checkpoint's offset, unless retention has cut the log behind it: then those records are gone, and that is said."""
        if wanted < begin:
            _log.error("records were removed by retention before they were processed", topic=self._topic, partition=partition, wanted=wanted, begin=begin)
        return max(wanted, begin)

    def _report(self, partition: int, choice: Choice) -> None:
        for rejection in choice.rejected:
            metrics.MANIFESTS_REJECTED.labels(rejection.reason.value).inc()
            level = _log.info if rejection.reason is Rejected.OVERWRITTEN else _log.error
            level("manifest does not count", partition=partition, key=rejection.key, reason=rejection.reason.value, next_offset=rejection.next_offset)
        if choice.starts_over:
            metrics.STARTED_OVER.labels(self._topic).inc()
            _log.error("no checkpoint counts, everything is computed from the beginning of the topic", topic=self._topic, partition=partition)
