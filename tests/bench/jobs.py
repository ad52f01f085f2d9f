"""Bench of the job queue: jobs a second against bare streaq, a high job behind 1,000 low ones, the time until a killed worker's job runs again."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.valkey import EmbeddedValkey
from services.runtime.clock import SystemClock
from services.runtime.job_queue import open_job_queue
from services.runtime.job_queue.queue import ValkeyJobQueue
from services.runtime.jobs import Job, JobState, NewJob
from services.runtime.kafka_admin import ensure_topics
from services.runtime.testing import eventually
from services.runtime.topics import JOBS, RESULTS
from tests.bench import queue_candidates
from tests.bench.results import Result
from tests.integration.job_kinds_of_tests import HIGH, KINDS, LOW, notes, request
from tests.integration.job_worker_process import start_worker
from tests.ports import free_ports
from tests.processes import Process
from tests.servers import new_broker

_JOBS = 2_000
_LOW = 1_000
_HIGH = 7
_PATIENCE_S = 120.0
_CREATORS = 16
#: As the settings' defaults are.
_PATIENT = {"SIGNALBOX_JOB_HEARTBEAT_S": "1", "SIGNALBOX_JOB_LOST_AFTER_S": "6"}


def run() -> list[Result]:
    """Measures all three, each on a store of its own."""
    with tempfile.TemporaryDirectory() as folder, new_broker(Path(folder) / "kafka") as broker:
        ensure_topics(broker.bootstrap, 1, (JOBS, RESULTS))
        home = Path(folder)
        return [*_throughput(home / "1", broker.bootstrap), _priority(home / "2", broker.bootstrap), _recovery(home / "3", broker.bootstrap)]


def _throughput(home: Path, kafka: str) -> list[Result]:
    with _store(home / "ours") as url:
        created, jobs = asyncio.run(_run_trivial(url, kafka, home / "worker.log"))
    ended = max(job.ended_ns for job in jobs)
    per_s = len(jobs) / ((ended - min(job.started_ns for job in jobs)) / 1e9)
    with _store(home / "bare") as url:
        bare = _bare_streaq(url, home / "bare.log")
    return [
        Result("jobs.per_s", per_s, "1/s", "bare streaq: no records, results or events", bare),
        Result("jobs.created_per_s", created, "1/s"),
    ]


async def _run_trivial(url: str, kafka: str, log: Path) -> tuple[float, list[Job]]:
    """Jobs created a second, and the jobs, all succeeded."""
    async with open_job_queue(url, kinds=KINDS) as queue:
        begun_ns = SystemClock().monotonic_ns()
        ids = [job.id for part in await asyncio.gather(*(_create(queue, _JOBS // _CREATORS) for _ in range(_CREATORS))) for job in part]
        seconds = (SystemClock().monotonic_ns() - begun_ns) / 1e9
        with _worker(url, kafka, log):
            jobs = [await queue.wait(job_id, _PATIENCE_S) for job_id in ids]
    if any(job.state is not JobState.SUCCEEDED for job in jobs):
        raise AssertionError("a trivial job did not succeed")
    return len(jobs) / seconds, jobs


async def _create(queue: ValkeyJobQueue, count: int, **fields: object) -> list[Job]:
    return [await queue.create(NewJob("test.light", request(**fields))) for _ in range(count)]


def _bare_streaq(url: str, log: Path) -> float:
    """Jobs a second of the library alone, its job being a line in a file for each begin and end."""
    app = Path(queue_candidates.__file__).parent / "streaq_app.py"
    ours = {"REDIS_URL": url, "LOG": str(log), "CONCURRENCY": "8", "LOST_S": "6", "PYTHONPATH": str(app.parent)}
    environment = {**os.environ, **ours}
    subprocess.run([sys.executable, str(app), "put", "t", str(_JOBS), "low", "0"], env=environment, check=True)
    worker = subprocess.Popen([sys.executable, str(app), "worker"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(eventually(lambda: _lines(log) == 2 * _JOBS, timeout_s=_PATIENCE_S))
    finally:
        worker.kill()
        worker.wait()
    times = [float(line.split()[0]) for line in log.read_text().splitlines()]
    return _JOBS / (max(times) - min(times))


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def _priority(home: Path, kafka: str) -> Result:
    with _store(home) as url, _worker(url, kafka, home / "worker.log", SIGNALBOX_JOB_CONCURRENCY="1"):
        behind, alone = asyncio.run(_high_delays(url))
    return Result("jobs.high_start_delay_ms", behind, "ms", "on an empty queue", alone, higher_is_better=False)


async def _high_delays(url: str) -> tuple[float, float]:
    """Median milliseconds from creation to start: behind low jobs of 10 ms on one slot, and with nothing else there."""
    async with open_job_queue(url, kinds=KINDS) as queue:
        await queue.wait((await _create(queue, 1))[0].id, _PATIENCE_S)
        alone = [await _high_delay(queue) for _ in range(_HIGH)]
        low = request(seconds=0.01)
        for _ in range(_LOW):
            await queue.create(NewJob("test.light", low, priority=LOW))
        behind = [await _high_delay(queue) for _ in range(_HIGH)]
        waiting, _ = await queue.list(states=[JobState.WAITING], page_size=1)
        if not waiting:
            raise AssertionError("the low jobs had ended before the high ones were created")
        return statistics.median(behind), statistics.median(alone)


async def _high_delay(queue: ValkeyJobQueue) -> float:
    created = await queue.create(NewJob("test.light", request(), priority=HIGH))
    job = await queue.wait(created.id, _PATIENCE_S)
    return (job.started_ns - job.created_ns) / 1e6


def _recovery(home: Path, kafka: str) -> Result:
    with _store(home) as url, _worker(url, kafka, home / "worker.log", **_PATIENT) as first:
        seconds = asyncio.run(_killed(url, kafka, home, first))
    return Result("jobs.kill_to_running_s", seconds, "s", "seconds without a sign of life until a job is taken", 6.0, higher_is_better=False)


async def _killed(url: str, kafka: str, home: Path, first: Process) -> float:
    log = home / "jobs.log"
    async with open_job_queue(url, kinds=KINDS) as queue:
        await queue.create(NewJob("test.light", request(log=str(log), seconds=60)))
        await eventually(lambda: len(notes(log)) == 1, timeout_s=_PATIENCE_S)
        with _worker(url, kafka, home / "worker.log", **_PATIENT):
            killed_s = SystemClock().now_ns() / 1e9
            first.signal(signal.SIGKILL)
            await eventually(lambda: len(notes(log)) == 2, timeout_s=_PATIENCE_S)
    return float(str(notes(log)[1]["t"])) - killed_s


@contextmanager
def _store(home: Path) -> Iterator[str]:
    with EmbeddedValkey(home, free_ports(1)[0]) as server:
        yield server.url


@contextmanager
def _worker(url: str, kafka: str, log: Path, **settings: str) -> Iterator[Process]:
    """A worker that is ready, killed after the block."""
    worker = start_worker(kafka, url, log, **settings)
    try:
        worker.wait_ready()
        yield worker
    finally:
        worker.kill()
