"""Both doors over a queue in memory: what they answer, and what they refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from google.longrunning import operations_pb2 as lro
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.rpc import code_pb2
from signalbox.reports.v1 import jobs_service_pb2 as pb

from services.reports.errors import OperationNotFound
from services.reports.jobs_servicer import JobsServicer
from services.reports.operations import MAX_WAIT_S, OperationsServicer
from services.runtime.errors import InvalidArgument, ResourceExhausted, Unavailable
from services.runtime.job_kinds import CACHE_CLEAN, JOB_KINDS
from services.runtime.jobs import Job, JobState, NewJob, Priority
from services.runtime.telemetry import span_from
from services.runtime.testing import ManualClock
from services.runtime.testing.job_queue import MemoryJobQueue

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@dataclass
class Archive:
    """A ResultArchive in memory."""

    jobs: dict[str, Job] = field(default_factory=dict)

    async def find(self, job_id: str) -> Job | None:
        return self.jobs.get(job_id)


@dataclass
class Call:
    """As much of a call's context as the doors look at."""

    left_s: float | None = None

    def time_remaining(self) -> float | None:
        return self.left_s


class Waits(MemoryJobQueue):
    """Remembers how long it was asked to wait, and waits not at all."""

    asked_s = -1.0

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        self.asked_s = timeout_s
        return await self.get(job_id)


class Doors:
    """The two servicers over one queue."""

    def __init__(self, queue: MemoryJobQueue | None = None) -> None:
        self.clock = ManualClock()
        self.queue = queue or MemoryJobQueue(clock=self.clock)
        self.archive = Archive()
        self._jobs = JobsServicer(self.queue, JOB_KINDS, self.clock)
        self._operations = OperationsServicer(self.queue, self.archive, JOB_KINDS, self.clock)

    async def create(self, **fields: Any) -> lro.Operation:
        return await self._jobs.CreateJob(ParseDict({"kind": "cache.clean"} | fields, pb.CreateJobRequest()), cast(Any, Call()))

    async def jobs(self, **fields: Any) -> pb.ListJobsResponse:
        return await self._jobs.ListJobs(ParseDict(fields, pb.ListJobsRequest()), cast(Any, Call()))

    async def kinds(self) -> pb.ListJobKindsResponse:
        return await self._jobs.ListJobKinds(pb.ListJobKindsRequest(), cast(Any, Call()))

    async def list(self, **fields: Any) -> lro.ListOperationsResponse:
        return await self._operations.ListOperations(lro.ListOperationsRequest(**fields), cast(Any, Call()))

    async def get(self, name: str) -> lro.Operation:
        return await self._operations.GetOperation(lro.GetOperationRequest(name=name), cast(Any, Call()))

    async def wait(self, name: str, left_s: float | None = None, timeout: Duration | None = None) -> lro.Operation:
        return await self._operations.WaitOperation(lro.WaitOperationRequest(name=name, timeout=timeout), cast(Any, Call(left_s)))

    async def cancel(self, name: str) -> None:
        await self._operations.CancelOperation(lro.CancelOperationRequest(name=name), cast(Any, Call()))

    async def delete(self, name: str) -> None:
        await self._operations.DeleteOperation(lro.DeleteOperationRequest(name=name), cast(Any, Call()))


def metadata(operation: lro.Operation) -> pb.Job:
    found = pb.Job()
    assert operation.metadata.Unpack(found)
    return found


async def test_a_job_is_an_operation_at_once_with_the_callers_trace() -> None:
    doors = Doors()
    with span_from(TRACE, "call"):
        operation = await doors.create(request={"prefixes": ["analysis:"]}, owner="cli")
    job = metadata(operation)
    assert (operation.name, operation.done, job.state, job.owner) == (f"operations/{job.id}", False, pb.JOB_STATE_WAITING, "cli")
    assert job.traceparent.split("-")[1] == TRACE.split("-")[1]
    assert await doors.get(operation.name) == operation


async def test_a_known_key_gives_the_kept_job() -> None:
    doors = Doors()
    first = await doors.create(unique_key="k")
    assert await doors.create(unique_key="k") == first
    assert (await doors.create(unique_key="other")).name != first.name


async def test_a_full_queue_and_a_store_that_is_away_are_passed_on() -> None:
    doors = Doors(MemoryJobQueue({CACHE_CLEAN.name: CACHE_CLEAN}))
    for _ in range(CACHE_CLEAN.max_waiting):
        await doors.create()
    with pytest.raises(ResourceExhausted):
        await doors.create()
    doors.queue.away = True
    calls: list[Awaitable[Any]] = [
        doors.create(),
        doors.get("operations/a"),
        doors.list(),
        doors.jobs(),
        doors.wait("operations/a"),
        doors.cancel("operations/a"),
    ]
    for call in calls:
        with pytest.raises(Unavailable):
            await call


async def test_wrong_requests_name_the_field() -> None:
    doors = Doors()
    calls: dict[str, list[Awaitable[Any]]] = {
        "kind": [doors.create(kind="nothing"), doors.jobs(kind="nothing")],
        "request.prefix": [doors.create(request={"prefix": "analysis:"})],
        "states": [doors.jobs(states=[99])],
        "page_size": [doors.jobs(page_size=501), doors.jobs(page_size=-1), doors.list(page_size=501)],
        "page_token": [doors.jobs(page_token="x"), doors.list(page_token="x")],
        "name": [doors.get("a"), doors.list(name="things"), doors.wait("a"), doors.cancel("a"), doors.delete("a")],
        "timeout": [doors.wait("operations/a", timeout=Duration(seconds=-1))],
        "filter": [doors.list(filter="running")],
    }
    for name, each in calls.items():
        for call in each:
            with pytest.raises(InvalidArgument) as caught:
                await call
            assert caught.value.field == name
    assert doors.queue.jobs == {}


async def test_operations_are_listed_newest_first_by_filter_page_by_page() -> None:
    doors = Doors()
    names = [(await doors.create(owner="a" if number % 3 else "b")).name for number in range(12)]
    await doors.cancel(names[4])
    assert [each.name for each in (await doors.list()).operations] == names[::-1]
    assert [each.name for each in (await doors.list(name="operations", filter="done = true")).operations] == [names[4]]
    assert (await doors.list(filter="done = true AND state = waiting")).operations == []
    wanted, pages, token = 'owner = "a" AND state = waiting', [], ""
    while True:
        page = await doors.list(filter=wanted, page_size=3, page_token=token)
        pages.append([each.name for each in page.operations])
        token = page.next_page_token
        if not token:
            break
        with pytest.raises(InvalidArgument, match="page_token"):
            await doors.list(filter='owner = "b"', page_token=token)
    assert [len(page) for page in pages][:2] == [3, 3]
    assert [name for page in pages for name in page] == [name for number, name in reversed(list(enumerate(names))) if number % 3 and number != 4]


async def test_a_rare_owner_ends_the_page_early_and_not_the_list() -> None:
    doors = Doors()
    rare = await doors.create(kind="news.crawl", owner="rare")
    for number in range(3000):
        job = await doors.queue.get(rare.name.removeprefix("operations/"))
        doors.queue.jobs[f"{number + 2:032x}"] = Job(
            id=f"{number + 2:032x}", kind=job.kind, state=JobState.WAITING, priority=Priority.LOW, request=b"", created_ns=1, owner="api"
        )
    first = await doors.list(filter='owner = "rare"', page_size=500)
    assert (list(first.operations), bool(first.next_page_token)) == ([], True)
    second = await doors.list(filter='owner = "rare"', page_size=500, page_token=first.next_page_token)
    assert [each.name for each in second.operations] == [rare.name]


async def test_jobs_are_listed_by_kind_and_state() -> None:
    doors = Doors()
    clean, crawl = await doors.create(), await doors.create(kind="news.crawl")
    await doors.cancel(crawl.name)
    assert [job.kind for job in (await doors.jobs()).jobs] == ["news.crawl", "cache.clean"]
    assert [job.id for job in (await doors.jobs(kind="cache.clean")).jobs] == [metadata(clean).id]
    assert [job.kind for job in (await doors.jobs(states=["JOB_STATE_CANCELLED", "JOB_STATE_FAILED"])).jobs] == ["news.crawl"]


async def test_kinds_are_listed_by_name() -> None:
    assert [kind.name for kind in (await Doors().kinds()).kinds] == sorted(JOB_KINDS)


async def test_waiting_ends_with_the_job() -> None:
    doors = Doors()
    operation = await doors.create()
    waiting = asyncio.ensure_future(doors.wait(operation.name))
    await asyncio.sleep(0)
    result = pb.CleanCacheResult(removed_keys=2)
    await doors.queue.end(metadata(operation).id, JobState.SUCCEEDED, result=result.SerializeToString())
    done = await waiting
    unpacked = pb.CleanCacheResult()
    assert done.done
    assert done.response.Unpack(unpacked)
    assert unpacked == result


@pytest.mark.parametrize(
    ("left_s", "timeout", "expected"),
    [
        (None, None, MAX_WAIT_S),
        (None, Duration(seconds=3600), MAX_WAIT_S),
        (None, Duration(nanos=500_000_000), 0.5),
        (None, Duration(), 0.0),
        (10.0, None, 9.75),
        (120.0, Duration(seconds=100), 100.0),
        (0.1, Duration(seconds=5), 0.0),
    ],
)
async def test_a_wait_ends_before_the_call_does(left_s: float | None, timeout: Duration | None, expected: float) -> None:
    queue = Waits()
    doors = Doors(queue)
    operation = await doors.create()
    await doors.wait(operation.name, left_s, timeout)
    assert queue.asked_s == expected


async def test_cancelling_and_deleting() -> None:
    doors = Doors()
    operation = await doors.create()
    with pytest.raises(InvalidArgument, match="one that has ended"):
        await doors.delete(operation.name)
    await doors.cancel(operation.name)
    ended = await doors.get(operation.name)
    assert (ended.done, ended.error.code) == (True, code_pb2.CANCELLED)
    await doors.cancel(operation.name)
    assert await doors.get(operation.name) == ended
    await doors.delete(operation.name)
    for call in (doors.get(operation.name), doors.wait(operation.name), doors.cancel(operation.name), doors.delete(operation.name)):
        with pytest.raises(OperationNotFound, match=r"operations/.*reports\.results\.v1"):
            await call


async def test_what_the_queue_has_forgotten_is_answered_from_the_archive() -> None:
    doors = Doors()
    job = await doors.queue.create(NewJob("cache.clean", pb.CleanCacheRequest()))
    await doors.queue.end(job.id, JobState.SUCCEEDED, result=b"")
    name = f"operations/{job.id}"
    before = await doors.get(name)
    doors.archive.jobs[job.id] = doors.queue.jobs.pop(job.id)
    assert await doors.get(name) == before
    assert await doors.wait(name) == before
    await doors.cancel(name)
    await doors.delete(name)
