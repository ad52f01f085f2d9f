"""Three hundred jobs through the edge while workers, the service and Valkey are killed at random."""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.chaos import job_storm
from tests.chaos.chain import seed_of
from tests.chaos.job_storm import Fault, check, results_on_kafka, run_storm
from tests.chaos.job_worker import read_log
from tests.integration.jobs_stack import JobsStack, jobs_stack, wait_workers

#: Enough for some kills; tests/e2e has the thousand.
COUNT = 300
WORKERS = 3


@pytest.mark.timeout(600)
async def test_every_accepted_job_is_done_once(tmp_path: Path) -> None:
    seed = seed_of()
    log = tmp_path / "storm.log"
    with jobs_stack(tmp_path, "tests.chaos.job_kinds") as stack:
        for _ in range(WORKERS):
            start(stack, log)
        wait_workers(stack)
        faults: list[Fault] = [(f"kill -9 worker {number}", partial(restart, stack, number, log)) for number in range(WORKERS)]
        # Workers twice as often as the rest.
        faults += faults
        faults += [("kill -9 Valkey", stack.kill_valkey), ("kill -9 reports", stack.restart_service)]
        began = time.monotonic()
        storm = await run_storm(stack.edge, COUNT, random.Random(seed), faults, pause_s=(1.0, 4.0), step_s=(0.2, 0.4))
        took = time.monotonic() - began
        results = await results_on_kafka(stack.bootstrap, {job["metadata"]["id"] for job in storm.jobs})
        unseen = check(storm, COUNT, read_log(log))
        worker_kills = sum(number for name, number in storm.faults.items() if "worker" in name)
        again = sum(job["metadata"]["attempt"] - 1 for job in storm.jobs)
        twice = sum(len(each) > 1 for each in results.values())
        print(
            f"{took:.0f} s, {dict(storm.faults)}, {storm.asked_again} creations asked again, {again} attempts after the first, {unseen} unseen, {twice} twice"
        )
        assert worker_kills > 0
        assert again > 0, "no kill hit a running job"
        # An attempt that was killed between its record and its function's first line: at most some for each kill of a worker.
        assert unseen <= worker_kills
        assert len(results) == COUNT
        assert {result.job.state for each in results.values() for result in each} == {"succeeded"}


def start(stack: JobsStack, log: Path) -> None:
    stack.start_worker("tests.chaos.job_worker", TEST_JOB_LOG=str(log), SIGNALBOX_JOB_CONCURRENCY="2")


def restart(stack: JobsStack, number: int, log: Path) -> None:
    stack.workers[number].kill()
    start(stack, log)
    stack.workers[number] = stack.workers.pop()


async def test_jobs_that_are_left_after_the_patience_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [{"metadata": {"id": f"job-{number}", "state": "JOB_STATE_RUNNING", "attempt": 1, "max_attempts": 3}} for number in range(25)]

    async def listed(_session: aiohttp.ClientSession, _wanted: str) -> list[dict[str, Any]]:
        return left

    monkeypatch.setattr(job_storm, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(job_storm, "_list", listed)
    async with aiohttp.ClientSession() as session:
        await job_storm._until_left(session, 25)
        with pytest.raises(AssertionError, match="25 jobs have not ended, at most 3 were expected") as caught:
            await job_storm._until_left(session, 3)
    assert "job-19 JOB_STATE_RUNNING, attempt 1 of 3" in str(caught.value)
    assert "job-20" not in str(caught.value)
