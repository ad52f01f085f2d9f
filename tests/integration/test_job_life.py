"""Jobs through the whole queue: a real store, a real broker, workers that are processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from google.protobuf.struct_pb2 import Struct

from deploy.local.ports import free_ports
from deploy.local.valkey import EmbeddedValkey
from services.runtime.job_queue import ValkeyJobQueue, open_job_queue
from services.runtime.jobs import Job, JobState, NewJob
from services.runtime.kafka_admin import ensure_topics
from services.runtime.topics import JOBS, RESULTS
from tests.integration.job_kinds_of_tests import KINDS, request
from tests.integration.job_worker_process import start_worker
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
    assert process.terminate() == 0


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


@pytest.mark.parametrize("kind", ["test.light", "test.heavy"])
async def test_runs_a_job(worker: Process, queue: ValkeyJobQueue, kind: str) -> None:
    created = await queue.create(NewJob(kind, request(name="a", steps=4)))
    assert created.state is JobState.WAITING
    ended = await queue.wait(created.id, 30.0)
    assert result_of(ended) == {"attempt": 1.0, "name": "a"}
    assert (ended.progress.done, ended.progress.total, ended.progress.unit) == (4.0, 4.0, "steps")
    assert ended.created_ns <= ended.started_ns <= ended.ended_ns
    assert ended.peak_memory_bytes > 0
