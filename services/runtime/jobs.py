"""Jobs: work that is not live. What a kind of job is, what is known of a job, and the port behind which the queue lies.

Kinds are declared in `services/runtime/job_kinds.py`; the queue itself, on Valkey, is `services/runtime/job_queue`. A service runs
workers of its own for its kinds; whoever has the queue's address may create jobs of any kind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, TypeAlias

from google.protobuf.message import Message

from services.runtime.retries import RetryPolicy


class Priority(StrEnum):
    """Which of the waiting jobs of a service starts next."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class JobState(StrEnum):
    """Where a job is in its life; as signalbox.reports.v1.JobState."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BURIED = "buried"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.BURIED)


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind of job, as every service knows it; its function is known to the service's workers only."""

    name: str
    """Dotted, service first or what it is about: `report.daily`."""
    service: str
    """Whose workers run it: `reports`, `prices`, `analysis`, `news`. Each service has a queue of its own."""
    request: type[Message]
    """Message of the request."""
    result: type[Message]
    """Message of the result."""
    description: str
    """What it does, one line."""
    priority: Priority = Priority.NORMAL
    """When none is asked for."""
    attempt_limit_s: float = 600.0
    """Seconds that one attempt may take; it is ended then, and the attempt counts as failed."""
    memory_limit_bytes: int = 1 << 30
    """Most resident memory of one attempt; heavy kinds only, as only their process can be ended alone."""
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(attempts=3, first_s=1.0, cap_s=60.0))
    """Attempts at most, and the pauses between them. Only errors that the function is registered with are tried again, and lost workers."""
    is_heavy: bool = False
    """Runs in a process of its own, so that its computation does not stop the worker's heartbeat."""
    keep_s: float = 86_400.0
    """Seconds that an ended job is kept in the queue's store; on Kafka its result stays for good."""
    max_waiting: int = 10_000
    """Waiting jobs of this kind at most; the next one is refused."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is."""

    done: float = 0.0
    """Units done; never goes down."""
    total: float = 0.0
    """Units in all; 0 while not known."""
    unit: str = ""
    """What is counted."""
    message: str = ""
    """What it does now."""

    def whole(self) -> Progress:
        """As it is once the job has succeeded."""
        return replace(self, done=max(self.done, self.total))


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of a job."""

    id: str
    kind: str
    state: JobState
    priority: Priority
    request: bytes
    """The request message, serialised."""
    created_ns: int
    """UTC nanoseconds, as all times here; 0 where it has not happened."""
    attempt: int = 0
    """Attempts begun."""
    max_attempts: int = 1
    progress: Progress = Progress()
    result: bytes | None = None
    """The result message, serialised, once it has succeeded."""
    error_code: int = 0
    """google.rpc.Code of why it ended without a result."""
    error: str = ""
    """Why the last attempt failed, one line."""
    started_ns: int = 0
    ended_ns: int = 0
    deadline_ns: int = 0
    """It must have ended by then; 0: no deadline."""
    unique_key: str = ""
    owner: str = "api"
    traceparent: str = ""
    peak_memory_bytes: int = 0
    kept_memory_bytes: int = 0


def estimated_end_ns(job: Job, now_ns: int) -> int:
    """When a running job is likely to end if it goes on as in this attempt so far, UTC nanoseconds; 0 when its progress says nothing."""
    done, total = job.progress.done, job.progress.total
    if job.state is not JobState.RUNNING or not job.started_ns or not 0 < done < total:
        return 0
    return now_ns + int((now_ns - job.started_ns) * (total - done) / done)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be created."""

    kind: str
    request: Message
    priority: Priority | None = None
    """None: the kind's."""
    unique_key: str = ""
    """While a job with this key is kept, creating it again gives that job."""
    deadline_ns: int = 0
    owner: str = "api"
    traceparent: str = ""


class JobContext(Protocol):
    """What a job's function may use while it runs."""

    @property
    def job(self) -> Job:
        """The job as it was when this attempt began."""

    def progress(self, done: float, total: float = 0.0, unit: str = "", message: str = "") -> None:
        """Says how far it is; a job that succeeds is done with all of its total.

        Cheap: may be called for each item; what is written is limited to a few times a second. Safe from any thread.
        """

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for its end. An asynchronous function is cancelled besides; a heavy one's process is ended if it does not look."""


#: Light kinds: a coroutine on the worker's loop. Heavy kinds: a plain function of a module, called in a process of its own.
AsyncJobFunction: TypeAlias = Callable[[Message, JobContext], Awaitable[Message]]
HeavyJobFunction: TypeAlias = Callable[[Message, JobContext], Message]


@dataclass(frozen=True, slots=True)
class JobHandler:
    """A kind's function, as its service's workers register it."""

    kind: JobKind
    run: AsyncJobFunction | HeavyJobFunction
    """Takes the kind's request, returns the kind's result. Whatever it raises fails the attempt."""
    retry_on: tuple[type[Exception], ...] = ()
    """Errors that are worth another attempt; all others end the job at once."""


class JobQueue(Protocol):
    """The queue, from the side of those who create jobs and ask for them. All raise Unavailable when its store does not answer."""

    async def create(self, new: NewJob) -> Job:
        """Takes a job; when this returns it will be run. The kept job of the same unique key is returned as it is.

        Raises InvalidArgument (unknown kind, wrong request type), ResourceExhausted (too many waiting; with a delay).
        """

    async def get(self, job_id: str) -> Job:
        """What is known of a job. Raises NotFound."""

    async def list(self, *, kinds: Sequence[str] = (), states: Sequence[JobState] = (), page_size: int = 50, page_token: str = "") -> tuple[Sequence[Job], str]:
        """Jobs, newest first, and the token of the next page; it is empty on the last one. Empty filters: all. Raises InvalidArgument (token)."""

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """Returns as soon as the job has ended, or after `timeout_s` seconds as it is then. Raises NotFound."""

    async def cancel(self, job_id: str) -> Job:
        """Asks for a job's end: a waiting one ends at once, a running one within seconds. An ended job stays as it is. Raises NotFound."""

    async def delete(self, job_id: str) -> None:
        """Forgets an ended job. Raises NotFound, InvalidArgument (it has not ended)."""

    async def close(self) -> None:
        """Gives its connections back."""
