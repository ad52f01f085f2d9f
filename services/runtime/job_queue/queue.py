"""The port of `services.runtime.jobs` on Valkey: takes jobs, tells of them, ends them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from google.rpc import code_pb2
from redis.asyncio.client import Pipeline

from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import InvalidArgument, NotFound, ResourceExhausted
from services.runtime.job_queue.delivery import Mailbox, functions
from services.runtime.job_queue.metrics import CREATED, REFUSED
from services.runtime.job_queue.store import JobStore, connect, new_job_id, put_create
from services.runtime.jobs import Job, JobKind, JobState, NewJob
from services.runtime.telemetry import current_traceparent

#: Told of a job that this side has created or ended.
OnEvent = Callable[[Job], Awaitable[None]]

_MAX_PAGE = 500
_MAX_KEY_CHARS = 200
#: Seconds after which somebody who was refused should ask again: the time of some jobs, not of one.
_RETRY_AFTER_S = 5.0
#: Seconds between two looks at a job that is waited for: short at first, for jobs that end at once.
_LOOK_FIRST_S = 0.01
_LOOK_CAP_S = 0.25
DEADLINE_MESSAGE = "the job's deadline was over"


class ValkeyJobQueue:
    """JobQueue over a store of records and streaq's queues. It connects when it is first used, and again by itself."""

    def __init__(self, store: JobStore, kinds: Mapping[str, JobKind], clock: Clock, on_event: OnEvent | None) -> None:
        self._store = store
        self._kinds = kinds
        self._clock = clock
        self._on_event = on_event
        self._mailbox = Mailbox()

    async def create(self, new: NewJob) -> Job:
        """As JobQueue says."""
        kind = self._kind(new.kind)
        self._check(new, kind)
        if new.unique_key and (kept := await self._store.job_of_key(new.unique_key)) is not None:
            return kept
        await self._check_room(kind)
        job = self._job(new, kind)
        letter = await self._mailbox.letter(job, kind)

        # Record and task in one transaction. Where the record was refused after all, whoever meets the task finds none and drops it.
        def fill(pipe: Pipeline) -> None:
            put_create(pipe, job, kind.max_waiting)
            letter.put(pipe)

        answers = await self._store.transaction(fill)
        verdict, detail = answers[0]
        if verdict == b"full":
            raise self._full(kind, int(detail))
        if verdict == b"kept":
            return await self.get(detail.decode())
        CREATED.labels(kind.name).inc()
        await self._tell(job)
        return job

    def _kind(self, name: str) -> JobKind:
        try:
            return self._kinds[name]
        except KeyError:
            raise InvalidArgument("kind", name, f"one of {', '.join(sorted(self._kinds))}") from None

    def _check(self, new: NewJob, kind: JobKind) -> None:
        if not isinstance(new.request, kind.request):
            raise InvalidArgument("request", type(new.request).__name__, f"a {kind.request.DESCRIPTOR.full_name}")
        if len(new.unique_key) > _MAX_KEY_CHARS:
            raise InvalidArgument("unique_key", new.unique_key, f"at most {_MAX_KEY_CHARS} characters")
        if new.deadline_ns and new.deadline_ns <= self._clock.now_ns():
            raise InvalidArgument("deadline", new.deadline_ns, "a time in the future")

    async def _check_room(self, kind: JobKind) -> None:
        # Here and again in the transaction: this look keeps refused creations from leaving a task without a record.
        if (waiting := await self._store.waiting(kind.name)) >= kind.max_waiting:
            raise self._full(kind, waiting)

    def _full(self, kind: JobKind, waiting: int) -> ResourceExhausted:
        REFUSED.labels(kind.name).inc()
        return ResourceExhausted(f"the queue of {kind.name}", f"{waiting} jobs wait, at most {kind.max_waiting} may", _RETRY_AFTER_S)

    def _job(self, new: NewJob, kind: JobKind) -> Job:
        now_ns = self._clock.now_ns()
        return Job(
            id=new_job_id(now_ns),
            kind=kind.name,
            state=JobState.WAITING,
            priority=new.priority or kind.priority,
            request=new.request.SerializeToString(deterministic=True),
            created_ns=now_ns,
            max_attempts=kind.retry.attempts,
            deadline_ns=new.deadline_ns,
            unique_key=new.unique_key,
            owner=new.owner,
            traceparent=new.traceparent or current_traceparent() or "",
        )

    async def get(self, job_id: str) -> Job:
        """As JobQueue says."""
        job = await self._store.get(job_id)
        if job is None:
            raise NotFound("job", job_id)
        return await self._end_if_overdue(job)

    async def _end_if_overdue(self, job: Job) -> Job:
        # Workers look for these every second; whoever asks while no worker is there must not be told that it waits.
        now_ns = self._clock.now_ns()
        if job.state not in (JobState.WAITING, JobState.RETRYING) or not 0 < job.deadline_ns <= now_ns:
            return job
        keep_s = self._kind(job.kind).keep_s
        await self._store.end_idle(job.id, JobState.FAILED, now_ns, keep_s=keep_s, code=code_pb2.DEADLINE_EXCEEDED, error=DEADLINE_MESSAGE, mark=False)
        return await self._reread(job.id)

    async def _reread(self, job_id: str) -> Job:
        job = await self._store.get(job_id)
        if job is None:
            raise NotFound("job", job_id)
        await self._tell(job)
        return job

    async def list(self, *, kinds: Sequence[str] = (), states: Sequence[JobState] = (), page_size: int = 50, page_token: str = "") -> tuple[Sequence[Job], str]:
        """As JobQueue says. page_size: 1 to 500, 0 is 50; more is taken as 500."""
        names = [self._kind(name).name for name in kinds] or list(self._kinds)
        size = min(page_size or 50, _MAX_PAGE)
        if size < 1:
            raise InvalidArgument("page_size", page_size, "0 to 500")
        if page_token and not _is_token(page_token):
            raise InvalidArgument("page_token", page_token, "the token of a page before")
        ids = await self._store.newest(names, states or list(JobState), size + 1, page_token)
        jobs = [job for job in await self._store.get_many(ids[:size]) if job is not None] if ids else []
        return jobs, ids[size - 1] if len(ids) > size else ""

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """As JobQueue says."""
        end_ns = self._clock.monotonic_ns() + int(timeout_s * 1e9)
        pause_s = _LOOK_FIRST_S
        while True:
            job = await self.get(job_id)
            left_s = (end_ns - self._clock.monotonic_ns()) / 1e9
            if job.state.has_ended or left_s <= 0:
                return job
            await self._clock.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _LOOK_CAP_S)

    async def cancel(self, job_id: str) -> Job:
        """As JobQueue says."""
        job = await self.get(job_id)
        if job.state.has_ended:
            return job
        now_ns, keep_s = self._clock.now_ns(), self._kind(job.kind).keep_s
        before = await self._store.end_idle(job_id, JobState.CANCELLED, now_ns, keep_s=keep_s, code=code_pb2.CANCELLED, error="cancelled", mark=True)
        # The worker of a running one looks for this wish twice a second.
        return await (self.get(job_id) if before is JobState.RUNNING else self._reread(job_id))

    async def delete(self, job_id: str) -> None:
        """As JobQueue says."""
        state = await self._store.delete(job_id)
        if state is None:
            raise NotFound("job", job_id)
        if not state.has_ended:
            raise InvalidArgument("job", f"{job_id}, which is {state.value}", "one that has ended")

    async def _tell(self, job: Job) -> None:
        if self._on_event is not None:
            await self._on_event(job)

    async def close(self) -> None:
        """As JobQueue says."""
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


def _is_token(text: str) -> bool:
    return len(text) == 24 and all(character in "0123456789abcdef" for character in text)


def make_job_queue(redis_url: str, kinds: Mapping[str, JobKind], clock: Clock | None, on_event: OnEvent | None) -> ValkeyJobQueue:
    """A queue on the store at `redis_url`."""
    return ValkeyJobQueue(JobStore(connect(redis_url), [functions()]), kinds, clock or SystemClock(), on_event)
