"""Running a job's function: a light one as a task on the loop, a heavy one in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

import psutil

from services.runtime.job_queue.heavy import JobProcess
from services.runtime.job_queue.outcome import Failure, failure_of
from services.runtime.jobs import AsyncJobFunction, Job, JobHandler, Progress

OnProgress = Callable[[Progress], None]


class Execution(Protocol):
    """One run of a job's function."""

    peak_bytes: int
    kept_bytes: int

    async def run(self) -> bytes | Failure:
        """The result message, serialised, or why there is none."""

    async def ask_to_end(self) -> None:
        """Asks the function to end."""

    async def end(self) -> None:
        """Ends it, whether it wants or not, as far as that is possible."""


class LightContext:
    """JobContext on the worker's loop."""

    def __init__(self, job: Job, on_progress: OnProgress) -> None:
        self._job, self._on_progress = job, on_progress
        self.is_cancelled = False

    @property
    def job(self) -> Job:
        """As JobContext says."""
        return self._job

    @property
    def cancelled(self) -> bool:
        """As JobContext says."""
        return self.is_cancelled

    def progress(self, done: float, total: float = 0.0, unit: str = "", message: str = "") -> None:
        """As JobContext says."""
        self._on_progress(Progress(done, total, unit, message))


class LightExecution:
    """A coroutine. One that does not react to its cancellation is left behind: nothing can end it."""

    def __init__(self, job: Job, handler: JobHandler, on_progress: OnProgress) -> None:
        self._handler, self._job = handler, job
        self._context = LightContext(job, on_progress)
        self._task: asyncio.Task[bytes] | None = None
        self._before = self.peak_bytes = _resident()
        self.kept_bytes = 0

    async def run(self) -> bytes | Failure:
        """As Execution says."""
        self._task = asyncio.create_task(self._call(), name=f"job {self._job.kind} {self._job.id}")
        await asyncio.wait({self._task})
        after = _resident()
        # Of the whole worker, so what other jobs took at the same time is in it.
        self.peak_bytes, self.kept_bytes = max(self.peak_bytes, after), after - self._before
        if self._task.cancelled():
            return failure_of(asyncio.CancelledError("the job's function was cancelled"), ())
        error = self._task.exception()
        return self._task.result() if error is None else failure_of(error, self._handler.retry_on)

    async def _call(self) -> bytes:
        function = cast(AsyncJobFunction, self._handler.run)
        message = await function(self._handler.kind.request.FromString(self._job.request), self._context)
        return message.SerializeToString(deterministic=True)

    async def ask_to_end(self) -> None:
        """As Execution says."""
        self._context.is_cancelled = True
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """As Execution says."""
        await self.ask_to_end()


class HeavyExecution:
    """A function in a process that waits for it."""

    def __init__(self, job: Job, handler: JobHandler, on_progress: OnProgress, process: JobProcess) -> None:
        self._job, self._handler, self._on_progress, self._process = job, handler, on_progress, process
        self.peak_bytes = self.kept_bytes = 0

    async def run(self) -> bytes | Failure:
        """As Execution says."""
        try:
            return await self._process.run(self._job, self._handler, self._on_progress)
        finally:
            self.peak_bytes, self.kept_bytes = self._process.peak_bytes, self._process.kept_bytes

    async def ask_to_end(self) -> None:
        """As Execution says."""
        await self._process.ask_to_end()

    async def end(self) -> None:
        """As Execution says."""
        self._process.kill()


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)
