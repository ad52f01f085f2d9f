"""What a worker looks after besides its jobs' functions: stored progress, wishes to end, deadlines of waiting jobs, expired records, counts."""

from __future__ import annotations

from google.rpc import code_pb2

from services.runtime.clock import Clock
from services.runtime.errors import Unavailable
from services.runtime.job_queue.attempt import Attempt
from services.runtime.job_queue.metrics import STORE_ERRORS, WAITING
from services.runtime.job_queue.outcome import PAST_DEADLINE, Ending
from services.runtime.job_queue.runner import JobRunner
from services.runtime.job_queue.settings import JobWorkerSettings
from services.runtime.job_queue.store import JobStore
from services.runtime.jobs import JobState

_LOOK_S = 0.5
#: Looks between two rounds of what is not urgent.
_LOOKS_PER_ROUND = 4
_OVERDUE_AT_ONCE = 100


class JobWatch:
    """Two loops beside the receivers. A store that is away stops neither."""

    def __init__(self, store: JobStore, runner: JobRunner, settings: JobWorkerSettings, clock: Clock) -> None:
        self._store, self._runner, self._settings, self._clock = store, runner, settings, clock
        self.alive_ns = clock.monotonic_ns()
        """When the loop last went round, by the monotonic clock."""

    async def run(self) -> None:
        """Looks after wishes twice a second, after the rest every two seconds."""
        looks = 0
        while True:
            try:
                await self._look_at_wishes()
                if looks % _LOOKS_PER_ROUND == 0:
                    await self._round()
            except Unavailable:
                STORE_ERRORS.labels("looking after jobs").inc()
            self.alive_ns = self._clock.monotonic_ns()
            looks += 1
            await self._clock.sleep(_LOOK_S)

    async def report(self) -> None:
        """Stores the progress of running jobs."""
        while True:
            for attempt in self._runner.attempts():
                try:
                    await self._runner.store_progress(attempt)
                except Unavailable:
                    STORE_ERRORS.labels("progress").inc()
            await self._clock.sleep(self._settings.progress_interval_s)

    async def _look_at_wishes(self) -> None:
        for attempt in self._runner.attempts():
            state, number, cancel = await self._store.fields(attempt.job.id, "state", "attempt", "cancel")
            if state != JobState.RUNNING.value.encode() or number != str(attempt.job.attempt).encode():
                self._lost(attempt)
            elif cancel is not None:
                attempt.end(Ending.CANCEL)

    def _lost(self, attempt: Attempt) -> None:
        # Not the one that has just ended in good order.
        if attempt in self._runner.attempts() and not attempt.is_finishing:
            attempt.end(Ending.TAKEN_OVER)

    async def _round(self) -> None:
        now_ns = self._clock.now_ns()
        for job_id in await self._store.overdue(now_ns // 1_000_000, _OVERDUE_AT_ONCE):
            await self._runner.end_idle(job_id, JobState.FAILED, code_pb2.DEADLINE_EXCEEDED, PAST_DEADLINE.text)
        await self._store.sweep(now_ns // 1_000_000)
        for (kind, priority), count in (await self._store.waiting_counts()).items():
            # Those of other services are counted by their own workers.
            if self._runner.runs(kind):
                WAITING.labels(kind, priority).set(count)
