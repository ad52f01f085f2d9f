"""The worker's side of a process for heavy jobs, at its most awkward moments."""

from __future__ import annotations

import asyncio
import time

import psutil

from services.runtime.clock import SystemClock
from services.runtime.job_queue.child import Cancel, Run
from services.runtime.job_queue.heavy import JobProcess
from services.runtime.job_queue.outcome import process_died
from services.runtime.job_queue.settings import JobWorkerSettings
from services.runtime.jobs import Job, JobHandler, JobState, Priority
from services.runtime.settings import load_settings
from tests.integration.job_kinds_of_tests import HEAVY, heavy, request


class _SlowToLook(JobProcess):
    """Its loop goes on only when the job's process is gone, as on a machine that is busy with something else."""

    async def _send(self, message: Run | Cancel) -> None:
        await super()._send(message)
        while psutil.pid_exists(self.pid):
            time.sleep(0.01)  # noqa: ASYNC251 - the loop shall stand still


async def test_a_process_that_dies_before_its_memory_is_looked_at_is_named_by_how_it_ended() -> None:
    deadly = Job("1", HEAVY.name, JobState.RUNNING, Priority.NORMAL, request(fail="kill").SerializeToString(), time.time_ns(), attempt=1)
    process = _SlowToLook("test", load_settings(JobWorkerSettings), SystemClock())
    await process.start()
    try:
        answer = await asyncio.wait_for(process.run(deadly, JobHandler(HEAVY, heavy), lambda _: None), 20)
    finally:
        await process.close()
    assert answer == process_died("was ended by signal 9")
    assert process.is_dead
    assert process.is_worn
