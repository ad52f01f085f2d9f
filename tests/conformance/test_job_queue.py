"""The queue on Valkey and the one in memory keep the same promises, with a worker beside them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2

from services.runtime.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable
from services.runtime.job_queue import JobWorkerSettings, open_job_queue, run_job_worker
from services.runtime.jobs import Job, JobContext, JobHandler, JobKind, JobQueue, JobState, NewJob, Priority, Progress
from services.runtime.kafka_admin import ensure_topics
from services.runtime.lifecycle import Lifecycle
from services.runtime.ops import OpsServer
from services.runtime.retries import RetryPolicy
from services.runtime.testing import eventually
from services.runtime.testing.job_queue import MemoryJobQueue
from services.runtime.topics import JOBS, RESULTS

Function: TypeAlias = Callable[[Message, JobContext], Awaitable[Message]]

#: At most so many of a kind may wait.
ROOM = 30
SECOND_NS = 10**9


class Named(Exception):
    """The error that is tried again."""


@dataclass
class Subject:
    """A queue with kinds of its own, what it told, and how to run a worker that takes one job at a time."""

    queue: JobQueue
    first: JobKind
    second: JobKind
    told: list[Job]
    now_ns: Callable[[], int]
    worker: Callable[[Mapping[str, Function]], AbstractAsyncContextManager[None]]

    async def create(self, number: float = 0, **fields: Any) -> Job:
        kind = fields.pop("kind", self.first)
        return await self.queue.create(NewJob(kind.name, struct(n=number), **fields))

    async def ended(self, job: Job) -> Job:
        """The job once it has ended."""

        async def done() -> Job | None:
            found = await self.queue.wait(job.id, 5.0)
            return found if found.state.has_ended else None

        found = await eventually(done, timeout_s=40)
        assert found is not None
        return found


def struct(**fields: Any) -> Struct:
    return ParseDict(fields, Struct())


def number_of(message: Message) -> float:
    assert isinstance(message, Struct)
    return float(MessageToDict(message)["n"])


def kinds_of(service: str) -> tuple[JobKind, JobKind]:
    policy = RetryPolicy(attempts=3, first_s=0.02, cap_s=0.05)
    first = JobKind(f"{service}.first", service, Struct, Struct, "A test's.", Priority.NORMAL, attempt_limit_s=20.0, retry=policy, max_waiting=ROOM)
    return first, replace(first, name=f"{service}.second", attempt_limit_s=1.0, retry=replace(policy, attempts=2))


@pytest.fixture(params=["memory", "valkey"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    service = f"test{uuid.uuid4().hex[:8]}"
    first, second = kinds_of(service)
    kinds, told = {first.name: first, second.name: second}, list[Job]()

    async def tell(job: Job) -> None:
        told.append(job)

    if request.param == "memory":
        queue = MemoryJobQueue(kinds, on_event=tell)
        yield Subject(queue, first, second, told, wall_ns, lambda functions: memory_worker(queue, handlers(functions, kinds)))
        return
    valkey, kafka = request.getfixturevalue("valkey"), request.getfixturevalue("kafka")
    await asyncio.to_thread(ensure_topics, kafka, 1, (JOBS, RESULTS))
    fields: dict[str, Any] = {"redis_url": valkey, "kafka_bootstrap_servers": kafka, "light_concurrency": 1}
    settings = JobWorkerSettings(**fields)
    async with open_job_queue(valkey, kinds=kinds, on_event=tell) as real:
        yield Subject(real, first, second, told, wall_ns, lambda functions: valkey_worker(settings, service, handlers(functions, kinds)))


def wall_ns() -> int:
    from services.runtime.clock import SystemClock

    return SystemClock().now_ns()


def handlers(functions: Mapping[str, Function], kinds: Mapping[str, JobKind]) -> list[JobHandler]:
    """functions: by the last part of the kind's name."""
    return [JobHandler(kind, functions[kind.name.rpartition(".")[2]], (Named,)) for kind in kinds.values() if kind.name.rpartition(".")[2] in functions]


@asynccontextmanager
async def memory_worker(queue: MemoryJobQueue, taken: list[JobHandler]) -> AsyncIterator[None]:
    work = asyncio.create_task(queue.work(taken))
    yield
    work.cancel()
    await asyncio.wait([work])
    assert work.cancelled()


@asynccontextmanager
async def valkey_worker(settings: JobWorkerSettings, service: str, taken: list[JobHandler]) -> AsyncIterator[None]:
    lifecycle = Lifecycle("test-worker", OpsServer(0))
    work = asyncio.create_task(run_job_worker(settings, service, taken, lifecycle))
    try:
        yield
    finally:
        lifecycle.stop()
        await asyncio.wait_for(work, 20)
        assert await lifecycle.drain()


async def doubled(request: Message, context: JobContext) -> Message:
    return struct(n=2 * number_of(request))


# -- creating and asking -------------------------------------------------------------------


async def test_a_new_job_waits_and_is_known(subject: Subject) -> None:
    deadline = subject.now_ns() + 3600 * SECOND_NS
    job = await subject.create(7, deadline_ns=deadline, owner="cli", traceparent="00-1-2-00", unique_key=f"{subject.first.name}-k")
    assert (job.state, job.kind, job.attempt, job.max_attempts, job.priority) == (JobState.WAITING, subject.first.name, 0, 3, Priority.NORMAL)
    assert (job.deadline_ns, job.owner, job.traceparent, job.unique_key) == (deadline, "cli", "00-1-2-00", f"{subject.first.name}-k")
    assert (job.request, job.progress, job.result, job.started_ns, job.ended_ns) == (struct(n=7).SerializeToString(), Progress(), None, 0, 0)
    assert 0 < job.created_ns <= subject.now_ns()
    assert await subject.queue.get(job.id) == job
    assert subject.told == [job]


async def test_priority_is_the_kinds_unless_asked_for(subject: Subject) -> None:
    assert [(await subject.create(priority=asked)).priority for asked in (None, Priority.HIGH)] == [Priority.NORMAL, Priority.HIGH]


async def test_what_cannot_be_a_job_is_refused(subject: Subject) -> None:
    wrong = {
        "kind": NewJob("nothing", struct()),
        "request": NewJob(subject.first.name, Timestamp()),
        "deadline": NewJob(subject.first.name, struct(), deadline_ns=subject.now_ns() - 1),
    }
    for field, new in wrong.items():
        with pytest.raises(InvalidArgument) as caught:
            await subject.queue.create(new)
        assert caught.value.field == field
    assert await subject.queue.list() == ([], "")
    assert subject.told == []


async def test_a_unique_key_makes_one_job_however_many_ask_at_once(subject: Subject) -> None:
    key = f"{subject.first.name}-once"
    jobs = await asyncio.gather(*(subject.create(number, unique_key=key) for number in range(10)))
    assert len({job.id for job in jobs}) == 1
    assert len(subject.told) == 1
    await subject.queue.cancel(jobs[0].id)
    again = await subject.create(unique_key=key)
    assert (again.id, again.state) == (jobs[0].id, JobState.CANCELLED)
    await subject.queue.delete(jobs[0].id)
    assert (await subject.create(unique_key=key)).id != jobs[0].id


async def test_a_full_kind_refuses_and_others_do_not(subject: Subject) -> None:
    jobs = [await subject.create(number) for number in range(ROOM)]
    with pytest.raises(ResourceExhausted) as caught:
        await subject.create()
    assert caught.value.retry_after_s > 0
    assert len((await subject.queue.list(page_size=100))[0]) == ROOM
    await subject.create(kind=subject.second)
    await subject.queue.cancel(jobs[0].id)
    await subject.create()


async def test_what_is_not_there_is_not_found(subject: Subject) -> None:
    for call in (subject.queue.get, subject.queue.cancel, subject.queue.delete):
        with pytest.raises(NotFound):
            await call("0" * 24)
    with pytest.raises(NotFound):
        await subject.queue.wait("0" * 24, 0.05)


async def test_lists_are_newest_first_filtered_and_paged(subject: Subject) -> None:
    jobs = [await subject.create(number, kind=subject.second if number % 3 == 0 else subject.first) for number in range(12)]
    await subject.queue.cancel(jobs[5].id)
    newest = [job.id for job in reversed(jobs)]

    async def pages(size: int, **filters: Any) -> list[list[str]]:
        found, token = [], ""
        while True:
            page, token = await subject.queue.list(page_size=size, page_token=token, **filters)
            found.append([job.id for job in page])
            if not token:
                return found

    assert await pages(100) == [newest]
    assert await pages(5) == [newest[:5], newest[5:10], newest[10:]]
    assert await pages(12) == [newest]
    assert await pages(100, kinds=[subject.second.name]) == [[job.id for job in jobs[9::-3]]]
    assert await pages(100, states=[JobState.CANCELLED, JobState.RUNNING]) == [[jobs[5].id]]
    assert [each for page in await pages(2, kinds=[subject.first.name], states=[JobState.WAITING]) for each in page] == [
        each.id for number, each in reversed(list(enumerate(jobs))) if number % 3 and number != 5
    ]
    with pytest.raises(InvalidArgument, match="page_token"):
        await subject.queue.list(page_token="somewhere")
    with pytest.raises(InvalidArgument, match="kind"):
        await subject.queue.list(kinds=["nothing"])


async def test_a_waiting_job_ends_at_once_when_cancelled(subject: Subject) -> None:
    job = await subject.create()
    ended = await subject.queue.cancel(job.id)
    assert (ended.state, ended.error_code, ended.attempt) == (JobState.CANCELLED, code_pb2.CANCELLED, 0)
    assert ended.ended_ns >= job.created_ns
    assert await subject.queue.cancel(job.id) == ended == await subject.queue.get(job.id)
    assert [(told.id, told.state) for told in subject.told] == [(job.id, JobState.WAITING), (job.id, JobState.CANCELLED)]


async def test_only_ended_jobs_are_deleted(subject: Subject) -> None:
    job = await subject.create()
    with pytest.raises(InvalidArgument):
        await subject.queue.delete(job.id)
    await subject.queue.cancel(job.id)
    await subject.queue.delete(job.id)
    for call in (subject.queue.get, subject.queue.delete):
        with pytest.raises(NotFound):
            await call(job.id)
    assert await subject.queue.list() == ([], "")


async def test_waiting_in_vain_answers_as_it_is(subject: Subject) -> None:
    job = await subject.create()
    assert await subject.queue.wait(job.id, 0.05) == job
    assert await subject.queue.wait(job.id, 0.0) == job


async def test_waiting_ends_with_the_job(subject: Subject) -> None:
    job = await subject.create()
    waiting = asyncio.create_task(subject.queue.wait(job.id, 60.0))
    await asyncio.sleep(0)
    await subject.queue.cancel(job.id)
    assert (await asyncio.wait_for(waiting, 20)).state is JobState.CANCELLED


async def test_a_deadline_that_passes_while_it_waits_ends_it_without_an_attempt(subject: Subject) -> None:
    job = await subject.create(deadline_ns=subject.now_ns() + SECOND_NS // 5)
    ended = await subject.ended(job)
    assert (ended.state, ended.error_code, ended.attempt) == (JobState.FAILED, code_pb2.DEADLINE_EXCEEDED, 0)


# -- with a worker -------------------------------------------------------------------------


async def test_a_worker_runs_what_waits_and_what_comes(subject: Subject) -> None:
    early = await subject.create(4)
    async with subject.worker({"first": doubled, "second": doubled}):
        late = await subject.create(5, kind=subject.second)
        ended = [await subject.ended(job) for job in (early, late)]
    for job, was, number in zip(ended, (early, late), (8, 10), strict=True):
        assert (job.state, job.attempt, job.error, job.error_code) == (JobState.SUCCEEDED, 1, "", 0)
        assert job.result is not None
        assert number_of(Struct.FromString(job.result)) == number
        assert was.created_ns <= job.started_ns <= job.ended_ns <= subject.now_ns()
        assert await subject.queue.cancel(job.id) == job


async def test_a_kind_that_no_worker_of_its_service_has_fails_and_says_so(subject: Subject) -> None:
    async with subject.worker({"first": doubled}):
        ended = await subject.ended(await subject.create(1, kind=subject.second))
        assert (await subject.ended(await subject.create(1))).state is JobState.SUCCEEDED
    assert (ended.state, ended.error_code) == (JobState.FAILED, code_pb2.UNIMPLEMENTED)
    assert subject.second.name in ended.error


async def test_high_starts_before_normal_and_low(subject: Subject) -> None:
    order: list[float] = []

    async def note(request: Message, context: JobContext) -> Message:
        order.append(number_of(request))
        return struct()

    ranks = [Priority.LOW] * 5 + [Priority.NORMAL] * 5 + [Priority.HIGH] * 5
    jobs = [await subject.create(number, priority=priority) for number, priority in enumerate(ranks)]
    async with subject.worker({"first": note, "second": note}):
        for job in jobs:
            await subject.ended(job)
    assert [{int(number) // 5 for number in order[begin : begin + 5]} for begin in (0, 5, 10)] == [{2}, {1}, {0}]
    assert sorted(order) == list(range(15))


async def test_progress_is_seen_and_never_goes_down(subject: Subject) -> None:
    go_on = asyncio.Event()

    async def steps(request: Message, context: JobContext) -> Message:
        assert context.job.attempt == 1
        context.progress(3, 10, "things", "at it")
        await go_on.wait()
        return struct()

    job = await subject.create()
    async with subject.worker({"first": steps}):

        async def halfway() -> bool:
            seen = await subject.queue.get(job.id)
            return seen.state is JobState.RUNNING and seen.progress == Progress(3, 10, "things", "at it")

        await eventually(halfway)
        go_on.set()
        ended = await subject.ended(job)
    assert (ended.state, ended.progress.done) == (JobState.SUCCEEDED, 10)


async def test_named_errors_are_tried_again(subject: Subject) -> None:
    begun: list[int] = []

    async def second_time(request: Message, context: JobContext) -> Message:
        begun.append(context.job.attempt)
        if len(begun) < 2:
            raise Named("not yet")
        return struct()

    async with subject.worker({"first": second_time}):
        ended = await subject.ended(await subject.create())
    assert (ended.state, ended.attempt, begun) == (JobState.SUCCEEDED, 2, [1, 2])


async def test_after_the_last_attempt_it_has_failed(subject: Subject) -> None:
    begun: list[int] = []

    async def never(request: Message, context: JobContext) -> Message:
        begun.append(context.job.attempt)
        raise Named("never")

    async with subject.worker({"first": never}):
        ended = await subject.ended(await subject.create())
    assert (ended.state, ended.attempt, begun) == (JobState.FAILED, 3, [1, 2, 3])
    assert "never" in ended.error
    assert ended.error_code != 0


async def test_other_errors_end_it_at_once_and_the_worker_goes_on(subject: Subject) -> None:
    async def wrong(request: Message, context: JobContext) -> Message:
        raise ValueError("that is wrong")

    async with subject.worker({"first": wrong, "second": doubled}):
        ended = await subject.ended(await subject.create())
        after = await subject.ended(await subject.create(kind=subject.second))
    assert (ended.state, ended.attempt, ended.result) == (JobState.FAILED, 1, None)
    assert "that is wrong" in ended.error
    assert after.state is JobState.SUCCEEDED


async def test_a_running_job_is_cancelled_and_told_so(subject: Subject) -> None:
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def long(request: Message, context: JobContext) -> Message:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return struct()

    async with subject.worker({"first": long, "second": doubled}):
        job = await subject.create()
        await asyncio.wait_for(running.wait(), 20)
        assert not (await subject.queue.get(job.id)).state.has_ended
        await subject.queue.cancel(job.id)
        ended = await subject.ended(job)
        assert (await subject.ended(await subject.create(kind=subject.second))).state is JobState.SUCCEEDED
    assert cancelled.is_set()
    assert (ended.state, ended.error_code, ended.attempt) == (JobState.CANCELLED, code_pb2.CANCELLED, 1)


async def test_a_deadline_that_passes_while_it_runs_ends_it(subject: Subject) -> None:
    async def long(request: Message, context: JobContext) -> Message:
        await asyncio.Event().wait()
        return struct()

    async with subject.worker({"first": long}):
        ended = await subject.ended(await subject.create(deadline_ns=subject.now_ns() + 2 * SECOND_NS))
    assert (ended.state, ended.error_code, ended.attempt) == (JobState.FAILED, code_pb2.DEADLINE_EXCEEDED, 1)


async def test_attempts_over_the_kinds_limit_are_tried_again_and_buried(subject: Subject) -> None:
    begun: list[int] = []

    async def long(request: Message, context: JobContext) -> Message:
        begun.append(context.job.attempt)
        await asyncio.Event().wait()
        return struct()

    async with subject.worker({"first": doubled, "second": long}):
        ended = await subject.ended(await subject.create(kind=subject.second))
        assert (await subject.ended(await subject.create())).state is JobState.SUCCEEDED
    assert (ended.state, ended.error_code, begun) == (JobState.BURIED, code_pb2.DEADLINE_EXCEEDED, [1, 2])


async def test_a_store_that_is_away_is_said_to_be() -> None:
    away = MemoryJobQueue()
    away.away = True
    async with open_job_queue("redis://127.0.0.1:1/0") as gone:
        for queue in (away, gone):
            for call in (queue.get("0" * 24), queue.cancel("0" * 24), queue.delete("0" * 24), queue.wait("0" * 24, 5.0), queue.list()):
                with pytest.raises(Unavailable):
                    await call
