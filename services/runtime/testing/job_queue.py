"""A JobQueue in memory with a worker beside it. tests/conformance holds it to what the one on Valkey does."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from google.protobuf.message import Message
from google.rpc import code_pb2

from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable
from services.runtime.job_kinds import JOB_KINDS
from services.runtime.jobs import Job, JobContext, JobHandler, JobKind, JobState, NewJob, Priority, Progress

_IDLE = frozenset({JobState.WAITING, JobState.RETRYING})
_RANKS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
_PAGE_LIMIT = 500
_CODES: dict[type[Exception], int] = {TimeoutError: code_pb2.DEADLINE_EXCEEDED, NotImplementedError: code_pb2.UNIMPLEMENTED}

#: Told of each job that was created, or ended before it began.
OnEvent = Callable[[Job], Awaitable[None]]


async def _nobody(job: Job) -> None:
    """Who is told when nobody wants to be."""


class MemoryJobQueue:
    """Keeps jobs in a dict. It can be told to be `away`: then every call raises Unavailable. Ended jobs are kept for ever."""

    def __init__(self, kinds: Mapping[str, JobKind] = JOB_KINDS, clock: Clock | None = None, on_event: OnEvent | None = None) -> None:
        self.kinds = kinds
        self.away = False
        """While true every call raises Unavailable."""
        self.jobs: dict[str, Job] = {}
        """All jobs, oldest first."""
        self._clock = clock or SystemClock()
        self._on_event = on_event or _nobody
        self._numbers = itertools.count(1)
        self._changed = asyncio.Condition()
        self._attempts: dict[str, asyncio.Task[Message]] = {}

    async def create(self, new: NewJob) -> Job:
        """As JobQueue says."""
        self._check_there()
        kind = self._kind(new)
        if new.unique_key and (known := self._by_key(new.unique_key)) is not None:
            return known
        waiting = sum(job.kind == kind.name and job.state is JobState.WAITING for job in self.jobs.values())
        if waiting >= kind.max_waiting:
            raise ResourceExhausted(f"queue of {kind.name}", f"{waiting} jobs wait", retry_after_s=1.0)
        job = Job(
            id=f"{next(self._numbers):032x}",
            kind=kind.name,
            state=JobState.WAITING,
            priority=new.priority or kind.priority,
            request=new.request.SerializeToString(),
            created_ns=self._clock.now_ns(),
            max_attempts=kind.retry.attempts,
            unique_key=new.unique_key,
            deadline_ns=new.deadline_ns,
            owner=new.owner,
            traceparent=new.traceparent,
        )
        await self.put(job)
        await self._on_event(job)
        return job

    async def get(self, job_id: str) -> Job:
        """As JobQueue says."""
        self._check_there()
        if job_id not in self.jobs:
            raise NotFound("job", job_id)
        job = self.jobs[job_id]
        if job.state in _IDLE and 0 < job.deadline_ns <= self._clock.now_ns():
            await self.end(job_id, JobState.FAILED, error_code=code_pb2.DEADLINE_EXCEEDED, error="the job's deadline was over")
            await self._on_event(self.jobs[job_id])
        return self.jobs[job_id]

    async def list(self, *, kinds: Sequence[str] = (), states: Sequence[JobState] = (), page_size: int = 50, page_token: str = "") -> tuple[Sequence[Job], str]:
        """As JobQueue says."""
        self._check_there()
        for name in kinds:
            self._known(name)
        newest_first = [job for job in reversed(self.jobs.values()) if (not kinds or job.kind in kinds) and (not states or job.state in states)]
        if page_token:
            if page_token not in self.jobs:
                raise InvalidArgument("page_token", page_token, "the next_page_token of the page before")
            newest_first = [job for job in newest_first if job.id < page_token]
        page = newest_first[: min(page_size, _PAGE_LIMIT)]
        return page, page[-1].id if len(page) < len(newest_first) else ""

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """As JobQueue says."""
        job = await self.get(job_id)
        if job.deadline_ns:
            timeout_s = min(timeout_s, max(0.0, (job.deadline_ns - self._clock.now_ns()) / 1e9))
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: job_id not in self.jobs or self.jobs[job_id].state.has_ended)
        return await self.get(job_id)

    async def cancel(self, job_id: str) -> Job:
        """As JobQueue says."""
        job = await self.get(job_id)
        if job.state in _IDLE:
            await self.end(job_id, JobState.CANCELLED, error_code=code_pb2.CANCELLED, error="cancelled")
            await self._on_event(self.jobs[job_id])
        elif (attempt := self._attempts.get(job_id)) is not None:
            attempt.cancel()
        return self.jobs[job_id]

    async def delete(self, job_id: str) -> None:
        """As JobQueue says."""
        job = await self.get(job_id)
        if not job.state.has_ended:
            raise InvalidArgument("job", f"{job_id}, which is {job.state.value}", "one that has ended")
        del self.jobs[job_id]

    async def close(self) -> None:
        """There is nothing to give back."""

    async def put(self, job: Job) -> None:
        """Sets what is known of a job, and wakes those who wait for it."""
        self.jobs[job.id] = job
        async with self._changed:
            self._changed.notify_all()

    async def end(self, job_id: str, state: JobState, **changes: Any) -> None:
        """Sets a job's last state."""
        await self.put(replace(self.jobs[job_id], state=state, ended_ns=self._clock.now_ns(), **changes))

    async def work(self, handlers: Sequence[JobHandler]) -> None:
        """Runs waiting jobs of the handlers' service, one after the other, for ever. A pause between attempts is skipped."""
        known = {handler.kind.name: handler for handler in handlers}
        services = {handler.kind.service for handler in handlers}
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._next(services) is not None)
            if (waiting := self._next(services)) is not None and not (job := await self.get(waiting.id)).state.has_ended:
                await self._run(job, known.get(job.kind) or _missing(self.kinds[job.kind]))

    def _next(self, services: set[str]) -> Job | None:
        waiting = [job for job in self.jobs.values() if job.state in _IDLE and self.kinds[job.kind].service in services]
        return min(waiting, key=lambda job: (_RANKS[job.priority], job.id), default=None)

    async def _run(self, job: Job, handler: JobHandler) -> None:
        job = replace(job, state=JobState.RUNNING, attempt=job.attempt + 1, started_ns=self._clock.now_ns())
        await self.put(job)
        request = handler.kind.request.FromString(job.request)
        function = cast("Callable[[Message, MemoryContext], Any]", handler.run)
        attempt = self._attempts[job.id] = asyncio.ensure_future(function(request, MemoryContext(self, job)))
        try:
            result = await self._within_limits(attempt, job, handler.kind)
        except Exception as error:  # noqa: BLE001 - whatever a job's function raises is that attempt's failure
            await self._failed(job, handler, error)
        except asyncio.CancelledError:
            if not attempt.done():
                # The worker ends, not the job.
                raise
            await self.end(job.id, JobState.CANCELLED, error_code=code_pb2.CANCELLED, error="cancelled")
        else:
            await self.end(job.id, JobState.SUCCEEDED, result=result.SerializeToString(), progress=self.jobs[job.id].progress.whole())
        finally:
            del self._attempts[job.id]

    async def _within_limits(self, attempt: "asyncio.Future[Message]", job: Job, kind: JobKind) -> Message:
        left_s = (job.deadline_ns - self._clock.now_ns()) / 1e9 if job.deadline_ns else kind.attempt_limit_s
        async with asyncio.timeout(min(left_s, kind.attempt_limit_s)):
            return await attempt

    async def _failed(self, job: Job, handler: JobHandler, error: Exception) -> None:
        text = str(error) or type(error).__name__
        is_late = isinstance(error, TimeoutError)
        is_past = is_late and 0 < job.deadline_ns <= self._clock.now_ns()
        if (isinstance(error, handler.retry_on) or (is_late and not is_past)) and job.attempt < job.max_attempts:
            await self.put(replace(self.jobs[job.id], state=JobState.RETRYING, error=text))
            return
        code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), code_pb2.INTERNAL)
        await self.end(job.id, JobState.BURIED if is_late and not is_past else JobState.FAILED, error_code=code, error=text)

    def _kind(self, new: NewJob) -> JobKind:
        kind = self._known(new.kind)
        if not isinstance(new.request, kind.request):
            raise InvalidArgument("request", type(new.request).__name__, kind.request.DESCRIPTOR.full_name)
        if new.deadline_ns and new.deadline_ns <= self._clock.now_ns():
            raise InvalidArgument("deadline", new.deadline_ns, "a time in the future")
        return kind

    def _known(self, name: str) -> JobKind:
        if name not in self.kinds:
            raise InvalidArgument("kind", name, f"one of {', '.join(sorted(self.kinds))}")
        return self.kinds[name]

    def _by_key(self, key: str) -> Job | None:
        return next((job for job in self.jobs.values() if job.unique_key == key), None)

    def _check_there(self) -> None:
        if self.away:
            raise Unavailable("job queue", "it is away")


class MemoryContext:
    """JobContext of an attempt in memory; also for unit tests of handlers, without a queue."""

    def __init__(self, queue: MemoryJobQueue | None, job: Job) -> None:
        self._queue, self._job = queue, job
        self.said: list[Progress] = []
        """What `progress` was told, in order."""
        self.cancelled = False
        """As JobContext says; set by a test."""

    @property
    def job(self) -> Job:
        """As JobContext says."""
        return self._job

    def progress(self, done: float, total: float = 0.0, unit: str = "", message: str = "") -> None:
        """As JobContext says."""
        self.said.append(Progress(done, total, unit, message))
        if self._queue is not None:
            self._queue.jobs[self._job.id] = replace(self._queue.jobs[self._job.id], progress=self.said[-1])


def _missing(kind: JobKind) -> JobHandler:
    """For a job whose service's workers have no function for it."""

    async def refuse(request: Message, context: JobContext) -> Message:
        raise NotImplementedError(f"no worker of this service runs {kind.name}")

    return JobHandler(kind, refuse)
