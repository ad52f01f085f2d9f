"""One attempt at a job: runs its function, watches its limits, and hears of wishes to end it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from services.runtime.clock import Clock
from services.runtime.job_queue.execution import Execution
from services.runtime.job_queue.metrics import LIMITS
from services.runtime.job_queue.outcome import CANCELLED, PAST_DEADLINE, Ending, Failure, Outcome, over_time, process_died
from services.runtime.jobs import Job, JobKind, Progress

#: Seconds that a job has to end after STOP: the process must be gone soon.
_STOP_GRACE_S = 0.5


class Attempt:
    """A running attempt. `progress` and `end` are to be called on the loop's thread."""

    def __init__(self, job: Job, kind: JobKind, grace_s: float, clock: Clock) -> None:
        self.job, self.kind = job, kind
        self._grace_s, self._clock = grace_s, clock
        self._wish: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.latest = job.progress
        """How far it is; what is done never goes down, also not below an earlier attempt's."""
        self.stored = job.progress
        """What the store has of it."""
        self.is_finishing = False
        """Its function has ended; what came of it is being recorded."""

    def progress(self, progress: Progress) -> None:
        """Takes what the function says of its progress."""
        self.latest = replace(progress, done=max(progress.done, self.latest.done))

    def end(self, why: Ending) -> None:
        """Ends the attempt; the first reason counts."""
        if not self._wish.done():
            self._wish.set_result(why)

    async def run(self, execution: Execution) -> Outcome:
        """Runs to the end, one way or the other."""
        work = asyncio.create_task(execution.run())
        limit_s, limit = self._limit()
        both: set[asyncio.Future[Any]] = {work, self._wish}
        await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            outcome = _outcome(work)
        else:
            why = self._wish.result() if self._wish.done() else limit
            outcome = await self._ended(execution, work, why)
        return replace(outcome, peak_memory_bytes=execution.peak_bytes, kept_memory_bytes=execution.kept_bytes)

    def _limit(self) -> tuple[float, Ending]:
        """Seconds, and what their end means."""
        if self.job.deadline_ns:
            left_s = (self.job.deadline_ns - self._clock.now_ns()) / 1e9
            if left_s < self.kind.attempt_limit_s:
                return max(0.0, left_s), Ending.DEADLINE
        return self.kind.attempt_limit_s, Ending.ATTEMPT_LIMIT

    async def _ended(self, execution: Execution, work: asyncio.Task[bytes | Failure], why: Ending) -> Outcome:
        await execution.ask_to_end()
        grace_s = _STOP_GRACE_S if why is Ending.STOP else self._grace_s
        await asyncio.wait({work}, timeout=grace_s)
        if not work.done():
            await execution.end()
            await asyncio.wait({work}, timeout=_STOP_GRACE_S)
        if why is Ending.TAKEN_OVER:
            return Outcome(ending=why)
        if _has_result(work) and why in (Ending.STOP, Ending.CANCEL):
            # It was done before it heard of the wish.
            return _outcome(work)
        return self._judged(why)

    def _judged(self, why: Ending) -> Outcome:
        if why is Ending.STOP:
            return Outcome(ending=why)
        if why is Ending.CANCEL:
            return Outcome(failure=CANCELLED)
        LIMITS.labels(self.kind.name, "deadline" if why is Ending.DEADLINE else "time").inc()
        return Outcome(failure=PAST_DEADLINE if why is Ending.DEADLINE else over_time(self.kind.attempt_limit_s))


def _has_result(work: asyncio.Task[bytes | Failure]) -> bool:
    return work.done() and not work.cancelled() and work.exception() is None and isinstance(work.result(), bytes)


def _outcome(work: asyncio.Task[bytes | Failure]) -> Outcome:
    if (error := work.exception()) is not None:
        # Not the function's: its process could not be started.
        return Outcome(failure=process_died(f"could not run it: {error}"))
    answer = work.result()
    return Outcome(failure=answer) if isinstance(answer, Failure) else Outcome(result=answer)
