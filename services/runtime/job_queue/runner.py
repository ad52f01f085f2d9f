"""From a delivered job to its end: begins the attempt, runs it, and records what came of it, in the store and on Kafka."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from opentelemetry.trace import SpanKind

from services.runtime.clock import Clock
from services.runtime.errors import Unavailable
from services.runtime.job_queue.attempt import Attempt
from services.runtime.job_queue.events import send_result
from services.runtime.job_queue.execution import HeavyExecution, LightExecution
from services.runtime.job_queue.heavy import JobProcess, JobProcesses
from services.runtime.job_queue.metrics import (
    ATTEMPTS,
    ENDED,
    FENCED,
    HANDED_BACK,
    LOST_WORKERS,
    PEAK_MEMORY,
    RETRIED,
    RUNNING,
    SECONDS,
    START_DELAY,
    STORE_ERRORS,
    UNWANTED,
)
from services.runtime.job_queue.outcome import CANCELLED, PAST_DEADLINE, Ending, Failure, Outcome, worker_lost
from services.runtime.job_queue.queue import OnEvent
from services.runtime.job_queue.receiver import LeaveDelivered, RunAgain
from services.runtime.job_queue.settings import JobWorkerSettings
from services.runtime.job_queue.store import JobStore, Verdict
from services.runtime.jobs import Job, JobHandler, JobKind, JobState
from services.runtime.kafka import Publisher, PublishFailed
from services.runtime.logging import get_logger
from services.runtime.telemetry import current_traceparent, span_from

_log = get_logger("job-runner")
T = TypeVar("T")
#: Seconds between two attempts to record an end while the store or the broker is away.
_RECORD_AGAIN_S = 0.5
#: Seconds until a heavy job is delivered again when no process could be started for it.
_PROCESS_AGAIN_S = 2.0
#: Seconds that an ended job of a kind unknown here is kept.
_KEEP_UNKNOWN_S = 86_400.0


class JobRunner:
    """Runs delivered jobs. `run` is called once for each delivery, several at a time."""

    def __init__(
        self, store: JobStore, publisher: Publisher, *, handlers: Mapping[str, JobHandler], processes: JobProcesses, settings: JobWorkerSettings,
        worker_id: str, on_event: OnEvent, stopping: asyncio.Event, clock: Clock, uniform: Callable[[float, float], float],
    ) -> None:  # fmt: skip
        self._store, self._publisher, self._handlers, self._processes = store, publisher, handlers, processes
        self._settings, self._worker_id, self._on_event, self._stopping = settings, worker_id, on_event, stopping
        self._clock, self._uniform = clock, uniform
        self._running: dict[str, Attempt] = {}

    def attempts(self) -> list[Attempt]:
        """Those that run now."""
        return list(self._running.values())

    def runs(self, kind: str) -> bool:
        """Whether jobs of the kind are run here."""
        return kind in self._handlers

    def hand_back_all(self) -> None:
        """Ends what runs; each job goes back to the queue, and the attempt does not count towards its limit."""
        for attempt in self.attempts():
            attempt.end(Ending.STOP)

    async def run_heavy(self, job_id: str) -> None:
        """As `run`, for a job that needs a process; that waits before the attempt begins, so that what is counted is the function's start."""
        try:
            process = await self._processes.take()
        except ChildProcessError as error:
            _log.error("no process for heavy jobs could be started", error=str(error))
            raise RunAgain(_PROCESS_AGAIN_S) from error
        try:
            await self.run(job_id, process)
        finally:
            await self._processes.give_back(process)

    async def run(self, job_id: str, process: JobProcess | None = None) -> None:
        """Does what a delivery asks for. Raises RunAgain, LeaveDelivered; Unavailable never."""
        if job_id in self._running:
            raise LeaveDelivered
        if self._stopping.is_set():
            raise RunAgain(0.0)
        # The delivery's own name: asked a second time, because the first answer was lost, the store begins no second attempt.
        delivery = f"{self._worker_id}/{secrets.token_hex(4)}"
        begin = await self._until_stored(lambda: self._store.begin(job_id, delivery, self._clock.now_ns()))
        job = begin.job
        if job is None:
            UNWANTED.inc()
            return
        if begin.was_lost:
            LOST_WORKERS.labels(job.kind).inc()
            _log.warning("a job's worker was lost", job=job_id, kind=job.kind, attempt=job.attempt, verdict=begin.verdict.value)
        await self._act(job, begin.verdict, process)

    async def _act(self, job: Job, verdict: Verdict, process: JobProcess | None) -> None:
        handler = self._handlers.get(job.kind)
        if verdict is Verdict.ENDED:
            UNWANTED.inc()
            await self._send_missing_result(job)
        elif verdict is Verdict.WORN:
            await self._end(job, self._kind_of(job), Outcome(failure=worker_lost(job.attempt)))
        elif verdict is Verdict.LATE:
            await self._end(job, self._kind_of(job), Outcome(failure=PAST_DEADLINE))
        elif handler is None:
            await self._end(job, None, Outcome(failure=Failure(12, f"no worker of this service runs {job.kind}", may_retry=False)))
        else:
            await self._attempt(job, handler, process)

    def _kind_of(self, job: Job) -> JobKind | None:
        handler = self._handlers.get(job.kind)
        return handler.kind if handler else None

    async def _attempt(self, job: Job, handler: JobHandler, process: JobProcess | None) -> None:
        kind = handler.kind
        ATTEMPTS.labels(kind.name).inc()
        if job.attempt == 1:
            START_DELAY.labels(kind.name).observe(max(0.0, (job.started_ns - job.created_ns) / 1e9))
        attempt = self._running[job.id] = Attempt(job, kind, self._settings.cancel_grace_s, self._clock)
        RUNNING.labels(kind.name).inc()
        begun_ns = self._clock.monotonic_ns()
        try:
            await self._on_event(job)
            with span_from(job.traceparent or None, f"run {kind.name}", SpanKind.CONSUMER) as span:
                span.set_attributes({"signalbox.job.id": job.id, "signalbox.job.attempt": job.attempt})
                outcome = await self._execute(attempt, handler, process)
            SECONDS.labels(kind.name).observe((self._clock.monotonic_ns() - begun_ns) / 1e9)
            attempt.is_finishing = True
            await self._record(replace(job, progress=attempt.latest), kind, outcome)
        finally:
            RUNNING.labels(kind.name).dec()
            del self._running[job.id]

    async def _execute(self, attempt: Attempt, handler: JobHandler, process: JobProcess | None) -> Outcome:
        job = replace(attempt.job, traceparent=current_traceparent() or attempt.job.traceparent)
        if process is None:
            return await attempt.run(LightExecution(job, handler, attempt.progress))
        return await attempt.run(HeavyExecution(job, handler, attempt.progress, process))

    async def _record(self, job: Job, kind: JobKind, outcome: Outcome) -> None:
        failure = outcome.failure
        if outcome.ending is Ending.TAKEN_OVER:
            FENCED.labels(job.kind).inc()
            raise LeaveDelivered
        if outcome.ending is Ending.STOP or (failure and failure.may_retry and failure.state is JobState.BURIED and self._stopping.is_set()):
            # The second: its process was ended together with ours.
            await self._hand_back(job, kind)
        elif failure is not None and failure.may_retry and job.attempt < job.max_attempts:
            await self._retry(job, kind, failure)
        else:
            await self._end(job, kind, outcome)

    async def _hand_back(self, job: Job, kind: JobKind) -> None:
        if await self._until_stored(lambda: self._store.release(job, JobState.WAITING, more_attempts=1)):
            HANDED_BACK.labels(kind.name).inc()
            await self._on_event(replace(job, state=JobState.WAITING))
            raise RunAgain(0.0)
        await self._not_released(job, kind)

    async def _retry(self, job: Job, kind: JobKind, failure: Failure) -> None:
        wait_s = kind.retry.wait_s(job.attempt, self._uniform)
        if await self._until_stored(lambda: self._store.release(job, JobState.RETRYING, error_code=failure.code, error=failure.text)):
            RETRIED.labels(kind.name).inc()
            _log.warning("a job's attempt failed", job=job.id, kind=job.kind, attempt=job.attempt, again_in_s=round(wait_s, 3), error=failure.text)
            await self._on_event(replace(job, state=JobState.RETRYING, error=failure.text))
            raise RunAgain(wait_s)
        await self._not_released(job, kind)

    async def _not_released(self, job: Job, kind: JobKind) -> None:
        """Somebody asked for the job's end, or another worker has it."""
        now = await self._until_stored(lambda: self._store.get(job.id))
        if now is None or now.attempt != job.attempt or now.state is not JobState.RUNNING:
            FENCED.labels(job.kind).inc()
            raise LeaveDelivered
        await self._end(job, kind, Outcome(failure=CANCELLED))

    async def _end(self, job: Job, kind: JobKind | None, outcome: Outcome) -> None:
        ended = self._ended_job(job, outcome)
        await self._until_sent(ended, kind)
        keep_s = kind.keep_s if kind else _KEEP_UNKNOWN_S
        if not await self._until_stored(lambda: self._store.finish(ended, keep_s)):
            FENCED.labels(job.kind).inc()
            raise LeaveDelivered
        ENDED.labels(job.kind, ended.state.value).inc()
        if ended.state is JobState.SUCCEEDED:
            PEAK_MEMORY.labels(job.kind).observe(ended.peak_memory_bytes)
        else:
            _log.warning("a job ended without a result", job=job.id, kind=job.kind, state=ended.state.value, attempt=job.attempt, error=ended.error)
        await self._on_event(ended)

    def _ended_job(self, job: Job, outcome: Outcome) -> Job:
        peak, kept = outcome.peak_memory_bytes, outcome.kept_memory_bytes
        job = replace(job, ended_ns=self._clock.now_ns(), error_code=0, error="", peak_memory_bytes=peak, kept_memory_bytes=kept)
        if outcome.failure is None:
            return replace(job, state=JobState.SUCCEEDED, result=outcome.result or b"", progress=job.progress.whole())
        return replace(job, state=outcome.failure.state, error_code=outcome.failure.code, error=outcome.failure.text)

    async def _send_missing_result(self, job: Job) -> None:
        """Jobs that were ended while they waited are told to Kafka by whoever meets their delivery."""
        (published,) = await self._until_stored(lambda: self._store.fields(job.id, "published"))
        if published is None:
            await self._until_sent(job, self._kind_of(job))
            await self._until_stored(lambda: self._store.set_fields(job.id, {"published": 1}))

    async def end_idle(self, job_id: str, state: JobState, code: int, error: str) -> None:
        """Ends a job that waits."""
        job = await self._store.get(job_id)
        kind = self._kind_of(job) if job else None
        if job is None or kind is None:
            return
        await self._store.end_idle(job_id, state, self._clock.now_ns(), keep_s=kind.keep_s, code=code, error=error, mark=False)
        if (ended := await self._store.get(job_id)) is not None and ended.state.has_ended:
            ENDED.labels(kind.name, ended.state.value).inc()
            await self._on_event(ended)

    async def store_progress(self, attempt: Attempt) -> None:
        """Stores an attempt's progress if it has changed, and tells of it."""
        latest = attempt.latest
        if latest == attempt.stored or attempt.is_finishing:
            return
        if await self._store.progress(attempt.job, latest):
            attempt.stored = latest
            await self._on_event(replace(attempt.job, progress=latest))

    async def _until_sent(self, job: Job, kind: JobKind | None) -> None:
        """Returns when Kafka has the result. Raises LeaveDelivered when the process must end before: then the job is run again."""
        if kind is None:
            return
        while True:
            try:
                return await send_result(self._publisher, job, kind)
            except PublishFailed as error:
                _log.warning("a job's result could not be sent, trying again", job=job.id, error=str(error))
                await self._pause(error)

    async def _until_stored(self, call: Callable[[], Awaitable[T]]) -> T:
        """Calls until the store answers. Raises LeaveDelivered when the process must end before: then the job is run again."""
        while True:
            try:
                return await call()
            except Unavailable as error:
                STORE_ERRORS.labels("recording").inc()
                await self._pause(error)

    async def _pause(self, error: Unavailable) -> None:
        if self._stopping.is_set():
            raise LeaveDelivered from error
        await self._clock.sleep(_RECORD_AGAIN_S)
