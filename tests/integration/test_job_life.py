"""Jobs through the whole queue: a real store, a real broker, workers that are processes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from google.protobuf.struct_pb2 import Struct
from google.rpc import code_pb2
from signalbox.events.v1 import job_pb2

from deploy.local.valkey import EmbeddedValkey
from services.runtime.errors import NotFound
from services.runtime.job_queue import open_job_queue
from services.runtime.job_queue.queue import ValkeyJobQueue
from services.runtime.jobs import Job, JobState, NewJob
from services.runtime.kafka import Record, TopicReader
from services.runtime.kafka_admin import ensure_topics
from services.runtime.testing import eventually
from services.runtime.topics import JOBS, RESULTS
from tests.integration.job_kinds_of_tests import HIGH, KINDS, LOW, request
from tests.integration.job_worker_process import start_worker
from tests.ports import free_ports
from tests.processes import Process


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a store of this module's own."""
    with EmbeddedValkey(tmp_path_factory.mktemp("jobs-valkey"), free_ports(1)[0]) as server:
        yield server.url


@pytest.fixture(scope="module")
def worker(kafka: str, store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A worker for all tests that do not kill it."""
    ensure_topics(kafka, 1, (JOBS, RESULTS))
    process = start_worker(kafka, store, tmp_path_factory.mktemp("jobs") / "worker.log")
    process.wait_ready()
    yield process
    process.terminate()


@pytest.fixture
async def queue(store: str) -> AsyncIterator[ValkeyJobQueue]:
    """The queue with the kinds of the tests."""
    async with open_job_queue(store, kinds=KINDS) as opened:
        yield opened


def result_of(job: Job) -> dict[str, object]:
    """The result as a dict; the job must have succeeded."""
    assert job.state is JobState.SUCCEEDED, job
    assert job.result is not None
    return dict(Struct.FromString(job.result))


async def ended(queue: ValkeyJobQueue, kind: str, *, patience_s: float = 150.0, **wishes: object) -> Job:
    """Creates a job and waits for its end."""
    created = await queue.create(NewJob(kind, request(**wishes)))
    job = await queue.wait(created.id, patience_s)
    assert job.state.has_ended, job
    return job


async def until_running(queue: ValkeyJobQueue, job_id: str, patience_s: float = 30.0) -> Job:
    """The job once an attempt runs."""

    async def running() -> Job:
        job = await queue.get(job_id)
        assert job.state is JobState.RUNNING
        return job

    return await eventually(running, timeout_s=patience_s)


@pytest.mark.parametrize("kind", ["test.light", "test.heavy"])
async def test_runs_a_job(worker: Process, queue: ValkeyJobQueue, kind: str) -> None:
    created = await queue.create(NewJob(kind, request(name="a", steps=4)))
    assert created.state is JobState.WAITING
    job = await queue.wait(created.id, 30.0)
    assert result_of(job) == {"attempt": 1.0, "name": "a"}
    assert (job.progress.done, job.progress.total, job.progress.unit) == (4.0, 4.0, "steps")
    assert job.created_ns <= job.started_ns <= job.ended_ns
    assert job.peak_memory_bytes > 0


@pytest.mark.parametrize("kind", ["test.light", "test.heavy"])
async def test_tries_again_after_a_named_error_only(worker: Process, queue: ValkeyJobQueue, kind: str) -> None:
    helped = await ended(queue, kind, fail="unavailable", until=3)
    assert result_of(helped)["attempt"] == 3.0
    in_vain = await ended(queue, kind, fail="unavailable")
    assert (in_vain.state, in_vain.attempt, in_vain.error_code) == (JobState.FAILED, 3, code_pb2.UNAVAILABLE)
    wrong = await ended(queue, kind, fail="invalid")
    assert (wrong.state, wrong.attempt, wrong.error_code, wrong.error) == (
        JobState.FAILED,
        1,
        code_pb2.INVALID_ARGUMENT,
        "symbol: expected a symbol, was '?'",
    )
    strange = await ended(queue, kind, fail="strange")
    assert (strange.state, strange.attempt, strange.error_code, strange.error) == (JobState.FAILED, 1, code_pb2.INTERNAL, "ZeroDivisionError: strange")


@pytest.mark.parametrize(("kind", "limit"), [("test.brief", "0.3"), ("test.brief-heavy", "0.5")])
async def test_an_attempt_over_its_time_is_ended_and_buried_at_last(worker: Process, queue: ValkeyJobQueue, kind: str, limit: str) -> None:
    job = await ended(queue, kind, seconds=30, stubborn=True)
    assert (job.state, job.attempt, job.error_code, job.error) == (
        JobState.BURIED,
        3,
        code_pb2.DEADLINE_EXCEEDED,
        f"attempt limit {limit} s exceeded",
    )


async def test_a_heavy_job_over_its_memory_is_ended_and_named(worker: Process, queue: ValkeyJobQueue) -> None:
    job = await ended(queue, "test.heavy", memory=400, seconds=30)
    assert (job.state, job.attempt, job.error_code) == (JobState.BURIED, 3, code_pb2.RESOURCE_EXHAUSTED)
    named = re.fullmatch(r"memory limit 300 MiB exceeded \(seen (\d+)\)", job.error)
    assert named is not None, job.error
    assert int(named[1]) > 300
    assert job.peak_memory_bytes > 300 << 20


async def test_memory_of_a_heavy_job_is_that_of_its_process(worker: Process, queue: ValkeyJobQueue) -> None:
    small, large = [await ended(queue, "test.heavy", memory=memory, seconds=0.5) for memory in (0, 150)]
    assert 120 << 20 < large.peak_memory_bytes - small.peak_memory_bytes < 200 << 20
    assert large.kept_memory_bytes < 50 << 20


async def test_a_heavy_job_that_kills_its_process_is_buried_and_others_go_on(worker: Process, queue: ValkeyJobQueue) -> None:
    deadly = await queue.create(NewJob("test.heavy", request(fail="kill")))
    others = [await queue.create(NewJob("test.heavy", request(name=str(number)))) for number in range(3)]
    job = await queue.wait(deadly.id, 40.0)
    assert (job.state, job.attempt, job.error_code, job.error) == (JobState.BURIED, 3, code_pb2.ABORTED, "the job's process was ended by signal 9")
    for other in others:
        assert result_of(await queue.wait(other.id, 40.0))["attempt"] == 1.0


@pytest.mark.parametrize("kind", ["test.light", "test.heavy"])
@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_running_job_is_cancelled_though_it_is_stubborn(worker: Process, queue: ValkeyJobQueue, kind: str, stubborn: bool) -> None:
    created = await queue.create(NewJob(kind, request(seconds=120, stubborn=stubborn)))
    await until_running(queue, created.id)
    asked = await queue.cancel(created.id)
    assert asked.state is JobState.RUNNING
    job = await queue.wait(created.id, 20.0)
    assert (job.state, job.error_code, job.attempt) == (JobState.CANCELLED, code_pb2.CANCELLED, 1)


async def test_a_deadline_ends_a_running_and_a_waiting_job(worker: Process, queue: ValkeyJobQueue) -> None:
    soon = time.time_ns() + 1_500_000_000
    running = await queue.create(NewJob("test.heavy", request(seconds=60), deadline_ns=soon))
    # Earlier by more than a timer may err: the moment that ends the running one frees its place.
    waiting = await queue.create(NewJob("test.heavy", request(), deadline_ns=soon - 200_000_000, priority=LOW))
    for created in (running, waiting):
        job = await queue.wait(created.id, 30.0)
        assert (job.state, job.error_code) == (JobState.FAILED, code_pb2.DEADLINE_EXCEEDED), job
    assert (await queue.get(waiting.id)).attempt == 0


async def test_a_high_job_starts_before_low_ones_that_wait(worker: Process, queue: ValkeyJobQueue) -> None:
    blocker = await queue.create(NewJob("test.heavy", request(seconds=1.5)))
    await until_running(queue, blocker.id)
    low = [await queue.create(NewJob("test.heavy", request(), priority=LOW)) for _ in range(10)]
    normal = await queue.create(NewJob("test.heavy", request()))
    high = await queue.create(NewJob("test.heavy", request(), priority=HIGH))
    started = [(await queue.wait(job.id, 30.0)).started_ns for job in (high, normal, *low)]
    assert started == sorted(started)


async def test_a_light_job_does_not_wait_for_heavy_ones(worker: Process, queue: ValkeyJobQueue) -> None:
    heavy = [await queue.create(NewJob("test.heavy", request(seconds=1.0))) for _ in range(3)]
    light = await ended(queue, "test.light")
    assert not (await queue.get(heavy[-1].id)).state.has_ended
    assert light.state is JobState.SUCCEEDED
    for job in heavy:
        await queue.wait(job.id, 30.0)


async def test_progress_is_told_and_never_goes_back(worker: Process, queue: ValkeyJobQueue) -> None:
    created = await queue.create(NewJob("test.heavy", request(seconds=3, steps=30)))
    seen = []
    while not (job := await queue.get(created.id)).state.has_ended:
        seen.append(job.progress.done)
        await asyncio.sleep(0.05)
    assert seen == sorted(seen)
    assert len(set(seen)) >= 4
    assert job.progress.done == 30


async def test_an_ended_job_is_kept_for_its_time_and_then_gone_from_lists(worker: Process, queue: ValkeyJobQueue) -> None:
    created = await queue.create(NewJob("test.brief", request(), unique_key="brief"))
    assert (await queue.wait(created.id, 20.0)).state is JobState.SUCCEEDED
    assert (await queue.create(NewJob("test.brief", request(), unique_key="brief"))).id == created.id

    async def gone() -> bool:
        jobs, _ = await queue.list(kinds=["test.brief"], page_size=500)
        return created.id not in {job.id for job in jobs}

    await eventually(gone, timeout_s=20.0)
    with pytest.raises(NotFound):
        await queue.get(created.id)
    again = await queue.create(NewJob("test.brief", request(), unique_key="brief"))
    assert again.id != created.id


async def test_kafka_has_each_change_and_the_result(worker: Process, queue: ValkeyJobQueue, kafka: str) -> None:
    good = await ended(queue, "test.heavy", name="told", seconds=2, steps=40)
    bad = await ended(queue, "test.light", fail="strange")
    events = [job_pb2.JobEvent.FromString(record.value) for record in read_topic(kafka, JOBS.name) if record.key == good.id.encode()]
    assert (events[0].state, events[-1].state) == ("running", "succeeded")
    done = [event.done for event in events]
    assert done == sorted(done)
    # Four a second at most, besides begin and end.
    assert 4 <= len(events) <= 2 + (good.ended_ns - good.started_ns) / 250e6 + 1
    results = {record.key: job_pb2.JobResult.FromString(record.value) for record in read_topic(kafka, RESULTS.name)}
    result = results[good.id.encode()]
    assert (result.job.state, result.result, result.result_type) == ("succeeded", good.result, "google.protobuf.Struct")
    assert result.request == good.request
    assert (results[bad.id.encode()].error_code, results[bad.id.encode()].error_message) == (code_pb2.INTERNAL, bad.error)


async def test_a_job_cancelled_while_it_waited_has_a_result_record_too(worker: Process, queue: ValkeyJobQueue, kafka: str) -> None:
    blocker = await queue.create(NewJob("test.heavy", request(seconds=1.0)))
    await until_running(queue, blocker.id)
    waiting = await queue.create(NewJob("test.heavy", request()))
    assert (await queue.cancel(waiting.id)).state is JobState.CANCELLED

    def told() -> bool:
        return any(record.key == waiting.id.encode() for record in read_topic(kafka, RESULTS.name))

    await eventually(told, timeout_s=20.0)


def read_topic(kafka: str, topic: str) -> list[Record]:
    """All records that are there now."""
    found: list[Record] = []
    reader = TopicReader(kafka, [topic], found.extend)
    reader.start()
    assert reader.caught_up.wait(20.0)
    reader.stop()
    return found


async def test_metrics_count_what_was_done(worker: Process, queue: ValkeyJobQueue) -> None:
    before = worker.metric("signalbox_jobs_ended_total", 'kind="test.light",state="succeeded"')
    await ended(queue, "test.light")
    assert worker.metric("signalbox_jobs_ended_total", 'kind="test.light",state="succeeded"') == before + 1
    assert worker.metric("signalbox_jobs_attempts_total") > 0
    assert worker.ask("/healthz")[0] == 200
