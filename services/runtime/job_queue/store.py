"""The records of jobs on Valkey: each step of a job's life is one function of `records.lua`, called there."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from services.runtime.errors import Unavailable
from services.runtime.jobs import Job, JobState, Priority, Progress

#: Begins every key of ours.
PREFIX = "signalbox:jobs:"
#: The store is on the same machine or network; one that takes longer is away.
_TIMEOUT_S = 1.0
#: Many may ask at once; more wait for a connection.
_MAX_CONNECTIONS = 64
_MAX_ERROR_CHARS = 500
_LIBRARY = Path(__file__).with_name("records.lua")

Value: TypeAlias = bytes | str | int | float


class Verdict(StrEnum):
    """What to do with a job that was delivered."""

    ABSENT = "absent"
    """It was never accepted, or is forgotten."""
    ENDED = "ended"
    WORN = "worn"
    """It has no attempt left: its last worker was lost."""
    LATE = "late"
    """Its deadline was over before this attempt could begin."""
    BEGUN = "begun"


@dataclass(frozen=True, slots=True)
class Begin:
    """The answer to the wish to begin an attempt."""

    verdict: Verdict
    job: Job | None
    """The job with this attempt begun; None when it is absent."""
    was_lost: bool
    """The attempt before had no end: its worker was lost."""


def new_job_id(now_ns: int) -> str:
    """24 hexadecimal digits, the first 14 of which are microseconds, so that ids sort by creation."""
    return f"{now_ns // 1000:014x}{secrets.token_hex(5)}"


def connect(url: str) -> Redis:
    """A client that gives up after a second instead of waiting for a store that is away."""
    return Redis.from_url(
        url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, max_connections=_MAX_CONNECTIONS, retry=Retry(NoBackoff(), 0), protocol=2
    )


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable("the job queue", f"its store does not answer: {error}") from error


class JobStore:
    """The records. All methods raise Unavailable when the store does not answer."""

    def __init__(self, redis: Redis, libraries: Sequence[str] = ()) -> None:
        """libraries: texts of further function libraries that calls in a transaction need."""
        self._redis = redis
        self._libraries = (_LIBRARY.read_text(), *libraries)

    @property
    def redis(self) -> Redis:
        """The client."""
        return self._redis

    async def load(self) -> None:
        """Brings the functions to the store; it keeps them over restarts."""
        with _store_errors():
            for text in self._libraries:
                await cast(Awaitable[str], self._redis.function_load(text, replace=True))

    async def call(self, function: str, *arguments: Value) -> Any:
        """Calls one function of ours, loading the library if the store does not know it."""
        with _store_errors():
            try:
                return await self._fcall(function, arguments)
            except ResponseError as error:
                if "Function not found" not in str(error):
                    raise
        await self.load()
        with _store_errors():
            return await self._fcall(function, arguments)

    async def _fcall(self, function: str, arguments: Iterable[Value]) -> Any:
        return await self._redis.fcall(function, 1, PREFIX, *arguments)

    async def transaction(self, fill: Callable[[Pipeline], None]) -> list[Any]:
        """Runs what `fill(pipe)` puts into the pipe, all or nothing; once more if the functions were not known."""
        with _store_errors():
            try:
                return await self._execute(fill)
            except ResponseError as error:
                if "Function not found" not in str(error):
                    raise
        await self.load()
        with _store_errors():
            return await self._execute(fill)

    async def _execute(self, fill: Callable[[Pipeline], None]) -> list[Any]:
        async with self._redis.pipeline(transaction=True) as pipe:
            fill(pipe)
            return list(await pipe.execute())

    async def get(self, job_id: str) -> Job | None:
        """The job, or None when there is none."""
        return (await self.get_many([job_id]))[0]

    async def get_many(self, ids: Sequence[str]) -> list[Job | None]:
        """The jobs in the order of the ids."""
        with _store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in ids:
                    pipe.hgetall(f"{PREFIX}job:{job_id}")
                found = await pipe.execute()
        return [_job(fields) if fields and b"state" in fields else None for fields in found]

    async def fields(self, job_id: str, *names: str) -> list[bytes | None]:
        """Some fields of a record."""
        with _store_errors():
            return list(await cast(Awaitable[list[bytes | None]], self._redis.hmget(f"{PREFIX}job:{job_id}", list(names))))

    async def set_fields(self, job_id: str, values: Mapping[str, Value]) -> None:
        """Sets fields of a record that exists."""
        with _store_errors():
            await self._redis.hset(f"{PREFIX}job:{job_id}", mapping=cast(Any, dict(values)))

    async def job_of_key(self, unique_key: str) -> Job | None:
        """The kept job that has the unique key."""
        with _store_errors():
            job_id = await self._redis.get(f"{PREFIX}key:{unique_key}")
        return await self.get(_text(job_id)) if job_id else None

    async def newest(self, kinds: Iterable[str], states: Iterable[JobState], limit: int, before: str) -> list[str]:
        """Ids of at most `limit` jobs of those kinds and states, newest first, older than the id `before`; an empty one is no bound."""
        upper = f"({before}" if before else "+"
        with _store_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                for kind in kinds:
                    for state in states:
                        pipe.zrevrangebylex(f"{PREFIX}in:{kind}:{state.value}", upper, "-", 0, limit)
                found = await pipe.execute()
        ids = sorted({item.decode() for group in found for item in group}, reverse=True)
        return ids[:limit]

    async def waiting(self, kind: str) -> int:
        """How many jobs of a kind wait."""
        with _store_errors():
            return int(await self._redis.zcard(f"{PREFIX}in:{kind}:waiting"))

    async def waiting_counts(self) -> dict[tuple[str, str], int]:
        """How many jobs wait, by kind and priority."""
        with _store_errors():
            found = await cast(Awaitable[dict[bytes, bytes]], self._redis.hgetall(f"{PREFIX}waiting"))
        return {cast(tuple[str, str], tuple(key.decode().rsplit("|", 1))): int(value) for key, value in found.items()}

    async def overdue(self, now_ms: int, limit: int) -> list[str]:
        """Ids of jobs that have not ended and whose deadline is over."""
        with _store_errors():
            found = await self._redis.zrangebyscore(f"{PREFIX}deadlines", 0, now_ms, 0, limit)
        return [_text(item) for item in found]

    async def begin(self, job_id: str, worker: str, now_ns: int) -> Begin:
        """Begins the next attempt, if there is one."""
        verdict, lost, flat = await self.call("sbj_begin", job_id, worker, now_ns)
        return Begin(Verdict(verdict.decode()), _job(dict(zip(flat[::2], flat[1::2], strict=True))) if flat else None, bool(lost))

    async def progress(self, job: Job, progress: Progress) -> bool:
        """Stores how far an attempt is; what is done never goes down. Returns whether the attempt is still the current one."""
        values = (repr(progress.done), repr(progress.total), progress.unit, progress.message)
        return bool(await self.call("sbj_progress", job.id, job.attempt, *values))

    async def release(self, job: Job, state: JobState, *, more_attempts: int = 0, error_code: int = 0, error: str = "") -> bool:
        """Lets a running attempt go without ending its job: RETRYING or WAITING. Returns whether it did; not if cancelled or taken over."""
        fields = ("error_code", error_code, "error", error[:_MAX_ERROR_CHARS])
        return bool(await self.call("sbj_release", job.id, job.attempt, state.value, more_attempts, *fields))

    async def finish(self, job: Job, keep_s: float) -> bool:
        """Ends a job as `job` says. Returns whether it did; not if another attempt has begun or it has ended."""
        fields: list[Value] = ["ended_ns", job.ended_ns, "error_code", job.error_code, "error", job.error[:_MAX_ERROR_CHARS], "published", 1]
        fields += ["peak", job.peak_memory_bytes, "kept", job.kept_memory_bytes, "done", repr(job.progress.done), "total", repr(job.progress.total)]
        fields += ["unit", job.progress.unit, "message", job.progress.message]
        if job.result is not None:
            fields += ["result", job.result]
        return bool(await self.call("sbj_finish", job.id, job.attempt, job.state.value, job.ended_ns // 1_000_000, int(keep_s * 1000), *fields))

    async def end_idle(self, job_id: str, state: JobState, now_ns: int, *, keep_s: float, code: int, error: str, mark: bool) -> JobState | None:
        """Ends a job that waits; marks a running one as to be cancelled where `mark`. Returns the state it had, None without such a job."""
        found = await self.call("sbj_end_idle", job_id, state.value, now_ns // 1_000_000, int(keep_s * 1000), now_ns, int(mark), code, error)
        return None if found == b"absent" else JobState(found.decode())

    async def delete(self, job_id: str) -> JobState | None:
        """Forgets an ended job. Returns the state it had, None without such a job."""
        found = await self.call("sbj_delete", job_id)
        return None if found == b"absent" else JobState(found.decode())

    async def sweep(self, now_ms: int, limit: int = 1_000) -> int:
        """Takes expired jobs out of the lists. Returns how many."""
        return int(await self.call("sbj_sweep", now_ms, limit))

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()


def _text(value: object) -> str:
    # The client's types allow for text and tuples, which it gives only when asked to.
    return value.decode() if isinstance(value, bytes) else str(value)


def put_create(pipe: Pipeline, job: Job, max_waiting: int) -> None:
    """Puts the creation of a job into a transaction. Its answer: [b"created" | b"kept" | b"full", id or number]."""
    fields: tuple[Value, ...] = ("request", job.request, "created_ns", job.created_ns, "attempt", 0, "max_attempts", job.max_attempts)
    fields += ("deadline_ns", job.deadline_ns, "owner", job.owner, "traceparent", job.traceparent)
    deadline_ms = -(-job.deadline_ns // 1_000_000)
    pipe.fcall("sbj_create", 1, PREFIX, job.id, job.kind, job.priority.value, job.unique_key, max_waiting, deadline_ms, *fields)


def _job(fields: Mapping[bytes, bytes]) -> Job:
    def text(name: bytes) -> str:
        return fields.get(name, b"").decode("utf-8", "replace")

    def whole(name: bytes) -> int:
        return int(fields.get(name, b"0"))

    progress = Progress(float(fields.get(b"done", b"0")), float(fields.get(b"total", b"0")), text(b"unit"), text(b"message"))
    return Job(
        id=text(b"id"),
        kind=text(b"kind"),
        state=JobState(text(b"state")),
        priority=Priority(text(b"priority")),
        request=fields.get(b"request", b""),
        created_ns=whole(b"created_ns"),
        attempt=whole(b"attempt"),
        max_attempts=whole(b"max_attempts"),
        progress=progress,
        result=fields.get(b"result"),
        error_code=whole(b"error_code"),
        error=text(b"error"),
        started_ns=whole(b"started_ns"),
        ended_ns=whole(b"ended_ns"),
        deadline_ns=whole(b"deadline_ns"),
        unique_key=text(b"unique_key"),
        owner=text(b"owner"),
        traceparent=text(b"traceparent"),
        peak_memory_bytes=whole(b"peak"),
        kept_memory_bytes=whole(b"kept"),
    )
