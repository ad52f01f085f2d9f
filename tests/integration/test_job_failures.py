"""Jobs while things die: workers, their processes, the store."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from deploy.local.valkey import EmbeddedValkey
from services.runtime.errors import Unavailable
from services.runtime.job_queue import open_job_queue
from services.runtime.job_queue.queue import ValkeyJobQueue
from services.runtime.jobs import Job, JobState, NewJob
from services.runtime.kafka_admin import ensure_topics
from services.runtime.testing import eventually
from services.runtime.topics import JOBS, RESULTS
from tests.integration.job_kinds_of_tests import KINDS, notes, request
from tests.integration.job_worker_process import start_worker
from tests.ports import free_ports
from tests.processes import Process
from tests.servers import new_broker

StartWorker = Callable[..., Process]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A store of the test's own, to be killed and started again."""
    with EmbeddedValkey(tmp_path / "valkey-home", free_ports(1)[0]) as valkey:
        yield valkey


@pytest.fixture
def start(kafka: str, server: EmbeddedValkey, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers; those that are left are killed after the test."""
    ensure_topics(kafka, 1, (JOBS, RESULTS))
    workers: list[Process] = []

    def start_one(**settings: str) -> Process:
        worker = start_worker(kafka, server.url, tmp_path / "worker.log", **settings)
        workers.append(worker)
        return worker

    yield start_one
    for worker in workers:
        if worker.running:
            worker.kill()


@pytest.fixture
async def queue(server: EmbeddedValkey) -> AsyncIterator[ValkeyJobQueue]:
    """The queue with the kinds of the tests."""
    async with open_job_queue(server.url, kinds=KINDS) as opened:
        yield opened


async def until(queue: ValkeyJobQueue, job: Job, state: JobState) -> Job:
    """The job once it is in the state."""

    async def there() -> Job:
        found = await queue.get(job.id)
        assert found.state is state, found
        return found

    return await eventually(there, timeout_s=40.0)


def _store_pid(server: EmbeddedValkey) -> int:
    with redis.Redis.from_url(server.url) as client:
        return int(client.info("server")["process_id"])


def kill_store(server: EmbeddedValkey) -> None:
    """SIGKILL for the store."""
    pid = _store_pid(server)
    os.kill(pid, signal.SIGKILL)
    psutil.Process(pid).wait(10) if psutil.pid_exists(pid) else None
    server.stop()


@pytest.mark.parametrize("kind", ["test.light", "test.heavy"])
async def test_a_killed_workers_job_is_run_again_and_the_attempt_counts(start: StartWorker, queue: ValkeyJobQueue, tmp_path: Path, kind: str) -> None:
    log = tmp_path / "jobs.log"
    workers = [start(), start()]
    for worker in workers:
        worker.wait_ready()
    job = await queue.create(NewJob(kind, request(log=str(log), seconds=8)))
    await eventually(lambda: len(notes(log)) == 1, timeout_s=40.0)
    (begun,) = notes(log)
    of_job = psutil.Process(int(str(begun["pid"])))
    (first,) = [worker for worker in workers if worker.process.pid in (of_job.pid, of_job.ppid())]
    (second,) = [worker for worker in workers if worker is not first]
    first.kill()
    ended = await queue.wait(job.id, 60.0)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2)
    assert [(note["what"], note["attempt"]) for note in notes(log)] == [("start", 1), ("start", 2), ("end", 2)]
    assert second.metric("signalbox_jobs_lost_attempts_total") == 1
    # A process of the worker's does not outlive it.
    await eventually(lambda: not psutil.pid_exists(int(str(begun["pid"]))) or psutil.Process(int(str(begun["pid"]))).status() == psutil.STATUS_ZOMBIE)


async def test_a_job_that_kills_its_worker_each_time_is_buried_and_the_queue_goes_on(start: StartWorker, queue: ValkeyJobQueue, tmp_path: Path) -> None:
    log = tmp_path / "jobs.log"
    deadly = await queue.create(NewJob("test.heavy", request(log=str(log), fail="kill-worker")))
    behind = await queue.create(NewJob("test.heavy", request()))
    worker = start()
    end = time.monotonic() + 90
    while not (job := await queue.get(deadly.id)).state.has_ended and time.monotonic() < end:
        if not worker.running:
            worker = start()
        await asyncio.sleep(0.2)
    assert (job.state, job.attempt, job.error) == (JobState.BURIED, 3, "its worker was lost in attempt 3, the last one allowed")
    assert [note["attempt"] for note in notes(log) if note["what"] == "start"] == [1, 2, 3]
    assert (await queue.wait(behind.id, 40.0)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("kind", ["test.light", "test.heavy"])
async def test_a_worker_that_is_told_to_end_hands_its_job_back(start: StartWorker, queue: ValkeyJobQueue, tmp_path: Path, kind: str) -> None:
    first = start()
    job = await queue.create(NewJob(kind, request(seconds=4, stubborn=True)))
    await until(queue, job, JobState.RUNNING)
    await asyncio.to_thread(first.terminate)
    back = await queue.get(job.id)
    assert (back.state, back.attempt, back.max_attempts) == (JobState.WAITING, 1, 4)
    start()
    ended = await queue.wait(job.id, 40.0)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2)


async def test_a_worker_that_is_told_to_end_lets_short_jobs_end(start: StartWorker, queue: ValkeyJobQueue, tmp_path: Path) -> None:
    log = tmp_path / "jobs.log"
    worker = start(SIGNALBOX_JOB_DRAIN_S="3")
    await queue.wait((await queue.create(NewJob("test.heavy", request()))).id, 40.0)
    jobs = [await queue.create(NewJob(kind, request(log=str(log), seconds=1.0))) for kind in ("test.light", "test.heavy")]
    await eventually(lambda: len(notes(log)) == 2, timeout_s=40.0)
    assert await asyncio.to_thread(worker.terminate) == 0
    assert [(await queue.get(job.id)).state for job in jobs] == [JobState.SUCCEEDED] * 2


async def test_a_store_that_is_away_is_said_within_a_moment(server: EmbeddedValkey, queue: ValkeyJobQueue) -> None:
    job = await queue.create(NewJob("test.light", request()))
    server.stop()
    for call in (queue.create(NewJob("test.light", request())), queue.get(job.id), queue.list(), queue.cancel(job.id), queue.wait(job.id, 30.0)):
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable):
                await call
    server.start()
    assert (await queue.get(job.id)).state is JobState.WAITING


# Says that no attempt was lost, and workers here are lost after two silent seconds.
@pytest.mark.alone
async def test_a_store_that_is_killed_in_the_middle_loses_nothing(server: EmbeddedValkey, start: StartWorker, queue: ValkeyJobQueue, tmp_path: Path) -> None:
    log = tmp_path / "jobs.log"
    worker = start()
    worker.wait_ready()
    long = [await queue.create(NewJob(kind, request(log=str(log), seconds=9))) for kind in ("test.heavy", "test.light")]
    short = [await queue.create(NewJob("test.light", request(log=str(log), seconds=0.1))) for _ in range(200)]
    await eventually(lambda: sum(note["what"] == "end" for note in notes(log)) > 40)
    for _ in range(2):
        await asyncio.to_thread(kill_store, server)
        assert "store" in worker.ask("/readyz")[1]
        await asyncio.sleep(1.0)
        server.start()
        await asyncio.sleep(1.0)
    ended = [await queue.wait(job.id, 60.0) for job in [*long, *short]]
    assert {job.state for job in ended} == {JobState.SUCCEEDED}
    starts = Counter(str(note["id"]) for note in notes(log) if note["what"] == "start")
    assert {job.id: job.attempt for job in ended} == starts
    # The long ones went on while the store was away.
    assert [job.attempt for job in ended[:2]] == [1, 1]
    assert worker.running
    worker.wait_ready()


async def test_a_worker_that_waits_for_jobs_outlives_a_store_that_stays_away(
    server: EmbeddedValkey, start: StartWorker, queue: ValkeyJobQueue, tmp_path: Path
) -> None:
    """Longer than the worker waits before it brings its functions to the store again: that fails, too."""
    worker = start()
    worker.wait_ready()
    await asyncio.to_thread(kill_store, server)
    await asyncio.sleep(4.0)
    assert "store" in worker.ask("/readyz")[1]
    server.start()
    job = await queue.create(NewJob("test.light", request(log=str(tmp_path / "jobs.log"))))
    assert (await queue.wait(job.id, 30.0)).state is JobState.SUCCEEDED
    assert worker.running


# Says that no attempt was lost, and workers here are lost after two silent seconds.
@pytest.mark.alone
async def test_a_store_that_stands_still_is_away_and_loses_nothing(server: EmbeddedValkey, start: StartWorker, queue: ValkeyJobQueue, tmp_path: Path) -> None:
    log = tmp_path / "jobs.log"
    for worker in [start(), start()]:
        worker.wait_ready()
    jobs = [await queue.create(NewJob("test.light", request(log=str(log), seconds=seconds))) for seconds in (8, 8, *[0.1] * 150)]
    await eventually(lambda: sum(note["what"] == "end" for note in notes(log)) > 20)
    store = psutil.Process(_store_pid(server))
    store.suspend()
    with pytest.raises(Unavailable):
        await queue.get(jobs[0].id)
    # Longer than a worker may be silent.
    await asyncio.sleep(5.0)
    store.resume()
    ended = [await _patiently(queue, job) for job in jobs]
    assert {job.state for job in ended} == {JobState.SUCCEEDED}
    assert {job.id: job.attempt for job in ended} == Counter(str(note["id"]) for note in notes(log) if note["what"] == "start")
    assert [job.attempt for job in ended[:2]] == [1, 1]


async def _patiently(queue: ValkeyJobQueue, job: Job) -> Job:
    async def ended() -> Job:
        found = await queue.wait(job.id, 1.0)
        assert found.state.has_ended, found
        return found

    return await eventually(ended, timeout_s=60.0)


async def test_a_finished_job_does_not_end_before_kafka_has_its_result(server: EmbeddedValkey, queue: ValkeyJobQueue, tmp_path: Path) -> None:
    log = tmp_path / "jobs.log"
    with new_broker(tmp_path / "kafka-home") as broker:
        ensure_topics(broker.bootstrap, 1, (JOBS, RESULTS))
        worker = start_worker(broker.bootstrap, server.url, tmp_path / "worker.log")
        worker.wait_ready()
        await asyncio.to_thread(broker.stop)
        job = await queue.create(NewJob("test.light", request(log=str(log))))
        await eventually(lambda: [note["what"] for note in notes(log)] == ["start", "end"])
        assert (await queue.wait(job.id, 3.0)).state is JobState.RUNNING
        await asyncio.to_thread(broker.start)
        ended = await queue.wait(job.id, 60.0)
        assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 1)
        worker.kill()


async def test_random_kills_lose_no_job_and_succeed_once_each(start: StartWorker, queue: ValkeyJobQueue, tmp_path: Path) -> None:
    log = tmp_path / "jobs.log"
    dice = random.Random(7)
    workers = [start() for _ in range(2)]
    jobs = [await queue.create(_random_job(dice, log, number)) for number in range(300)]
    kills, end = 0, time.monotonic() + 150
    while any(not job.state.has_ended for job in jobs) and time.monotonic() < end:
        await asyncio.sleep(dice.uniform(1.0, 3.0))
        index = dice.randrange(len(workers))
        if kills < 6:
            workers[index].kill()
            workers[index] = start()
            kills += 1
        jobs = [await queue.get(job.id) for job in jobs]
    _check_books(jobs, notes(log), kills)


def _random_job(dice: random.Random, log: Path, number: int) -> NewJob:
    kind = "test.heavy" if dice.random() < 0.1 else "test.light"
    return NewJob(kind, request(log=str(log), seconds=dice.uniform(0.02, 0.4)), unique_key=f"random-{number}")


def _check_books(jobs: list[Job], said: list[dict[str, object]], kills: int) -> None:
    starts = Counter(str(note["id"]) for note in said if note["what"] == "start")
    assert all(job.state.has_ended for job in jobs)
    assert all(starts[job.id] <= job.attempt <= 3 for job in jobs)
    # An attempt is recorded before its function begins. Who is killed in the moment between has recorded one that nobody saw begin.
    assert sum(job.attempt - starts[job.id] for job in jobs) <= kills
    # Whoever was killed three times is buried, all others have succeeded.
    assert {job.state for job in jobs if job.attempt < 3} == {JobState.SUCCEEDED}
    ends = Counter(str(note["id"]) for note in said if note["what"] == "end")
    assert all(ends[job.id] >= 1 for job in jobs if job.state is JobState.SUCCEEDED)
