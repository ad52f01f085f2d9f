"""Runs a processor for each assigned partition of a topic: reading, outputs, checkpoints, and the end of the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, cast

from confluent_kafka import Producer

from services.runtime.clock import Clock, SystemClock
from services.runtime.dlq import DeadLetters
from services.runtime.headers import RecordHeaders
from services.runtime.kafka import make_producer
from services.runtime.lifecycle import Lifecycle
from services.runtime.logging import get_logger
from services.runtime.pauses import shorten_pauses
from services.runtime.stream import metrics
from services.runtime.stream.app import Assignment, StreamApp
from services.runtime.stream.checkpoint_turns import LOOK_SECONDS, CheckpointTurns
from services.runtime.stream.errors import ConsumerCrashed, RecordFailed, StartFailed, StreamError
from services.runtime.stream.health import WorkerHealth
from services.runtime.stream.live_turns import REST_NS, LiveTurns
from services.runtime.stream.offsets import TopicOffsets
from services.runtime.stream.outputs import OutputProducer
from services.runtime.stream.pipeline import PartitionPipeline
from services.runtime.stream.records import InputRecord, Processor
from services.runtime.stream.restore import PartitionOpener
from services.runtime.stream.settings import StreamWorkerSettings
from services.runtime.topics import Topic

_log = get_logger("stream")

#: Milliseconds that an output waits for others: what is shown live is on its way for the third time.
_LINGER_MS = 1
#: The same of what follows from records and is final: by then it is two seconds old, and a request costs the broker more than what is in it.
_PATIENT_LINGER_MS = 5
#: Seconds between two looks at the broker's acknowledgements while no records come.
_POLL_SECONDS = 0.1
#: Seconds between two looks at acknowledgements while something waits for them.
_WAIT_SECONDS = 0.002
#: How long the loop is held while records wait.
_HOLD_NS = 1_000_000
#: Seconds between two comparisons of positions with the ends of their partitions.
_WATCH_SECONDS = 2.0
#: Seconds for the last checkpoint before the partitions are given away (the group waits for us, 10 s at most) and at the end (the lifecycle
#: gives `main` 4 s).
_LAST_CHECKPOINT_SECONDS = 3.0
#: Seconds for Faust to leave, at the end.
_LEAVE_SECONDS = 4.0
#: Milliseconds that a record has waited when the worker counts as behind.
_BEHIND_MS = 250


async def run_worker(
    settings: StreamWorkerSettings, input_topic: Topic, checkpoint_topic: Topic, make_processor: Callable[[int], Processor], lifecycle: Lifecycle
) -> None:
    """Process `input_topic` until the process is told to stop; call it from the `main` given to `lifecycle.run`.

    make_processor: called with the partition, for each assignment anew. checkpoint_topic: compacted, as many partitions as the input.
    Raises StreamError or TooManyDeadLetters when it cannot go on; the process must end then, and the next one continues from the checkpoints.
    """
    shorten_pauses()
    worker = StreamWorker(settings, input_topic, checkpoint_topic, make_processor, SystemClock())
    lifecycle.ops.add_ready_check("stream", worker.health.check_ready)
    lifecycle.ops.add_live_check("stream", worker.health.check_alive)
    lifecycle.on_stop(worker.leave)
    await worker.run(lifecycle.stopping)


class StreamWorker:
    """One process's part of the group. All of it runs on the loop's thread."""

    def __init__(
        self, settings: StreamWorkerSettings, input_topic: Topic, checkpoint_topic: Topic, make_processor: Callable[[int], Processor], clock: Clock
    ) -> None:
        self._settings = settings
        self._topic = input_topic.name
        self._clock = clock
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._draining = False
        self._assignments = 0
        self._pipelines: dict[int, PartitionPipeline] = {}
        self._live_turns = LiveTurns(settings.live_interval_ms * 1_000_000)
        self._live_alarm: asyncio.TimerHandle | None = None
        self._behind = False
        self._checkpoint_turns = CheckpointTurns(settings.checkpoint_interval_ms * 1_000_000, settings.max_unacknowledged_bytes // 2, clock)
        self._checkpoints: dict[PartitionPipeline, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        hurried, patient = (make_producer(settings.kafka_bootstrap_servers, linger_ms=linger_ms) for linger_ms in (_LINGER_MS, _PATIENT_LINGER_MS))
        self._outputs = OutputProducer(hurried, self._fail, settings.max_outstanding_outputs, patient)
        self._buried_from = _TrackedProducer()
        self._dead_letters = DeadLetters(cast(Producer, self._buried_from), settings.dead_letters_per_minute, clock)
        self._opener = PartitionOpener(settings, input_topic, checkpoint_topic, make_processor=make_processor, outputs=self._outputs, bury=self._bury)
        self._app = StreamApp(settings, self._topic, self)
        self.health = WorkerHealth(clock, TopicOffsets(settings.kafka_bootstrap_servers, self._topic), settings.stall_seconds)

    # -- life -------------------------------------------------------------------------------------

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set or something fails; then the last checkpoint. Raises what failed."""
        starting = asyncio.create_task(self._app.start(), name="faust")
        starting.add_done_callback(self._on_started)
        self._tasks = [starting, *(asyncio.create_task(self._repeat(seconds, step), name=name) for name, seconds, step in self._timers())]
        stop = asyncio.create_task(stopping.wait())
        either: set[asyncio.Future[Any]] = {stop, self._failure}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not self._failure.done():
            await self._drain()
        if self._failure.done():
            self._failure.result()

    def _timers(self) -> list[tuple[str, float, Callable[[], Any]]]:
        return [
            ("poll", _POLL_SECONDS, self._tick),
            ("live", REST_NS / 1e9, self._live),
            ("checkpoints", LOOK_SECONDS, self._checkpoint_due),
            ("watch", _WATCH_SECONDS, self._watch),
        ]

    async def _repeat(self, seconds: float, step: Callable[[], Any]) -> None:
        """The edge of each timer: whatever goes wrong in it ends the process."""
        try:
            while not self._failure.done():
                await self._clock.sleep(seconds)
                result = step()
                if result is not None:
                    await result
        except Exception as error:  # noqa: BLE001 - counted and logged where the process ends
            self._fail(error)

    def _on_started(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Ends the process; the first failure counts. No checkpoint and no acknowledgement follows."""
        if not self._failure.done():
            self._draining = True
            self.health.ending(f"failed: {error}")
            self._failure.set_exception(error)

    async def _drain(self) -> None:
        """Stop processing, then a last checkpoint of everything, and commit."""
        self._draining = True
        self.health.ending("draining")
        await self._last_checkpoint()

    async def _last_checkpoint(self) -> None:
        try:
            async with asyncio.timeout(_LAST_CHECKPOINT_SECONDS):
                await asyncio.gather(*(self._checkpoint(pipeline) for pipeline in self._pipelines.values()))
                await self._app.commit()
        except TimeoutError:
            _log.warning("the last checkpoint took too long; its records will be processed again", seconds=_LAST_CHECKPOINT_SECONDS)

    async def leave(self) -> None:
        """Leave the group and end the timers. Called once, after `run` has returned or raised."""
        self._draining = True
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._app.stop()
        except TimeoutError:
            _log.warning("Faust did not leave in time; the group will notice", seconds=_LEAVE_SECONDS)
        tasks = (*self._tasks, *self._checkpoints.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what the group decides -------------------------------------------------------------------

    def positions(self) -> Mapping[int, int]:
        """The next offset of each restored partition."""
        return {partition: pipeline.position for partition, pipeline in self._pipelines.items()}

    async def assigned(self, assignment: Assignment) -> None:
        """Restores the partitions; Faust awaits it before it reads. A failure ends the process."""
        try:
            await self._restore(assignment)
        except Exception as error:  # noqa: BLE001 - Faust would only log it and stay up without reading
            self._fail(error if isinstance(error, StreamError) else _start_failed(error))
            await _for_ever()

    async def _restore(self, assignment: Assignment) -> None:
        self._drop_all()
        self._assignments += 1
        number = self._assignments
        begin = self._clock.monotonic_ns()
        found = await self._opener.read(assignment)
        if number != self._assignments or self._draining:
            return  # revoked again while the checkpoints were read
        self._pipelines = {partition: self._opener.open(partition, found[partition], assignment.generation) for partition in sorted(found)}
        self._checkpoint_turns.spread(self._pipelines.values())
        seconds = (self._clock.monotonic_ns() - begin) / 1e9
        metrics.RESTORE_SECONDS.set(seconds)
        metrics.ASSIGNED.set(len(self._pipelines))
        metrics.GENERATION.set(assignment.generation)
        self.health.restored()
        _log.info("partitions restored", topic=self._topic, positions=self.positions(), generation=assignment.generation, seconds=round(seconds, 3))

    async def revoked(self) -> None:
        """A last checkpoint if it can be done in time, then the partitions are forgotten. A failure ends the process."""
        self.health.revoked()
        self._assignments += 1
        try:
            await self._last_checkpoint()
        except Exception as error:  # noqa: BLE001 - counted and logged where the process ends
            self._fail(error)
        self._drop_all()

    def _drop_all(self) -> None:
        for pipeline in self._pipelines.values():
            pipeline.drop()
        self._pipelines = {}
        metrics.ASSIGNED.set(0)

    # -- records ----------------------------------------------------------------------------------

    async def consume(self, events: AsyncIterator[Any]) -> None:
        """The agent's edge: whatever goes wrong with a record ends the process, for Faust would go on without it."""
        yielded = 0
        async for event in events:
            for record in event.message.value:
                try:
                    await self._take(record, event)
                except Exception as error:  # noqa: BLE001 - counted and logged where the process ends
                    _log.error("record failed", topic=record.topic, partition=record.partition, offset=record.offset, error=str(error))
                    self._fail(error if isinstance(error, StreamError) else RecordFailed(record.topic, record.partition, record.offset, error))
                    await _for_ever()
            # Taking an event from a queue that is not empty yields to nobody: let Faust fetch on, and timers run, meanwhile.
            if (now := self._clock.monotonic_ns()) - yielded > _HOLD_NS:
                await asyncio.sleep(0)
                yielded = now

    async def _take(self, record: Any, event: Any) -> None:
        message = event.message
        pipeline = self._pipelines.get(record.partition)
        if pipeline is None or message.generation_id != pipeline.generation:
            return  # from before a rebalance; it will come again to whoever has the partition now
        await self._wait_for_room(pipeline)
        if self._draining or pipeline.dropped:
            return
        # Its last record stands for the bundle.
        to_acknowledge = event if record.offset == message.offset else None
        pipeline.handle(InputRecord(record.topic, record.partition, record.offset, record.value or b"", list(record.headers)), to_acknowledge)
        self._outputs.poll()
        self._behind = self._clock.now_ns() // 1_000_000 - record.timestamp > _BEHIND_MS
        if to_acknowledge is not None:
            self._live_if_due(pipeline)

    async def _wait_for_room(self, pipeline: PartitionPipeline) -> None:
        """Bounds memory: outputs that wait for the broker, and input events that wait for a checkpoint."""
        if not self._is_full(pipeline):
            return
        metrics.WAITS.inc()
        while self._is_full(pipeline) and not self._draining and not pipeline.dropped:
            self._outputs.poll()
            await self._clock.sleep(_WAIT_SECONDS)

    def _is_full(self, pipeline: PartitionPipeline) -> bool:
        return self._outputs.crowded or pipeline.unacknowledged_bytes >= self._settings.max_unacknowledged_bytes

    def _bury(self, record: InputRecord, reason: str, pipeline: PartitionPipeline) -> None:
        metrics.BAD_RECORDS.labels(record.topic).inc()
        self._buried_from.pipeline = pipeline
        self._dead_letters.send(record.topic, record.partition, record.offset, record.value, reason, headers=record.headers)

    # -- timers -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.health.turned()
        self._outputs.poll()
        if (reason := self._app.crashed) is not None:
            raise ConsumerCrashed(f"the consumer ended by itself: {reason!r}") from reason

    async def _watch(self) -> None:
        pause = await self.health.watch(self._pipelines)
        if pause is None or self._draining or any(map(self._is_full, self._pipelines.values())):
            return
        _log.warning("reading again from the positions", reason=pause)
        metrics.READ_AGAIN.labels(self._topic).inc()
        await self._app.read_again()

    def _live(self) -> None:
        for partition in self._live_turns.in_order(self._pipelines):
            self._live_if_due(self._pipelines[partition])

    def _live_if_due(self, pipeline: PartitionPipeline) -> None:
        if self._draining or self._outputs.crowded:
            return
        begin, news = self._clock.monotonic_ns(), pipeline.has_unshown
        if begin < (due := self._live_turns.due_ns(pipeline.partition, news=news)):
            if news and self._live_alarm is None:
                self._live_alarm = asyncio.get_running_loop().call_later((due - begin) / 1e9, self._live_at_last)
            return
        shown = pipeline.live(self._clock.now_ns())
        self._live_turns.took(pipeline.partition, begin, self._clock.monotonic_ns(), shown=shown, behind=self._behind)

    def _live_at_last(self) -> None:
        """What came too soon after the last time."""
        self._live_alarm = None
        try:
            self._live()
        except Exception as error:  # noqa: BLE001 - counted and logged where the process ends
            self._fail(error)

    def _checkpoint_due(self) -> None:
        if self._draining:
            return
        for pipeline in self._checkpoint_turns.next(self._pipelines.values(), self._checkpoints):
            self._checkpoints[pipeline] = task = asyncio.create_task(self._checkpoint(pipeline))
            task.add_done_callback(partial(self._on_checkpoint, pipeline))

    def _on_checkpoint(self, pipeline: PartitionPipeline, task: asyncio.Task[None]) -> None:
        del self._checkpoints[pipeline]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _checkpoint(self, pipeline: PartitionPipeline) -> None:
        begin = self._clock.monotonic_ns()
        size = await self._polled(asyncio.ensure_future(pipeline.checkpoint()))
        took = self._clock.monotonic_ns() - begin
        self._checkpoint_turns.took(pipeline, begin, took, size)
        if size:
            metrics.CHECKPOINTS.labels(self._topic).inc()
            metrics.CHECKPOINT_BYTES.labels(self._topic).inc(size)
            metrics.CHECKPOINT_SECONDS.observe(took / 1e9)

    async def _polled(self, work: asyncio.Future[int]) -> int:
        """Awaits work that waits for acknowledgements, which come only while somebody polls; a tenth of a second would be most of the time."""
        try:
            while not work.done():
                self._outputs.poll()
                await asyncio.wait({work}, timeout=_WAIT_SECONDS)
            return work.result()
        finally:
            work.cancel()


class _TrackedProducer:
    """What DeadLetters writes with: the checkpoint of the record's partition waits for the dead letter as for an output."""

    def __init__(self) -> None:
        self.pipeline: PartitionPipeline | None = None

    def produce(self, topic: str, value: bytes, *, headers: RecordHeaders) -> None:
        if self.pipeline is not None:
            self.pipeline.produce(topic, 0, value, headers)

    def poll(self, _timeout: float) -> int:
        """Acknowledgements are polled for after each record."""
        return 0


def _start_failed(cause: Exception) -> StartFailed:
    error = StartFailed(f"the assigned partitions could not be restored: {cause!r}")
    error.__cause__ = cause
    return error


async def _for_ever() -> None:
    """Holds Faust's agent or recovery still until the process has ended."""
    await asyncio.get_running_loop().create_future()
