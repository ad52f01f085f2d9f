"""Decides what is to start, starts it once, and follows it to its end. No I/O of its own; used by the active scheduler only.

A run is safe against the death of its scheduler at any moment, because each step can be done again: it is written as planned before its job is created,
the job's unique key is the run's identity, and it is written as started afterwards. Whoever takes over reads the topic and creates what is planned and
not started: if the job exists already, that gives the same job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Protocol

from signalbox.reports.v1 import jobs_service_pb2

from services.reports.schedule import metrics
from services.reports.schedule.plans import First, Missed, Overlap, Plan
from services.reports.schedule.runs import Run, RunBook, RunState
from services.runtime.clock import Clock
from services.runtime.errors import NotFound, ResourceExhausted, Unavailable
from services.runtime.job_kinds import CACHE_CLEAN
from services.runtime.jobs import Job, JobQueue, JobState, NewJob
from services.runtime.logging import get_logger
from services.runtime.telemetry import new_traceparent

_log = get_logger("schedule")
_NS = 10**9

#: A run that nobody has started so long after its time (and its jitter) is missed.
GRACE_S = 120.0
#: Missed runs that are made up for, at most.
MOST_MADE_UP = 100
#: Missed times older than this are not even counted: a plan for each minute has 46,000 of them.
_HORIZON_NS = 32 * 86_400 * _NS
#: Failures in a row at which a person is told.
ALERT_AFTER = 3


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person should know, or the end of it."""

    key: str
    title: str
    detail: str
    is_resolved: bool = False


class Journal(Protocol):
    """Where runs are written. Only the active scheduler's writes are taken."""

    async def write(self, run: Run) -> None:
        """Returns when the record is kept. Raises Deposed when another scheduler is active, Unavailable when Kafka does not answer."""


class Notices(Protocol):
    """Where notices go."""

    async def tell(self, notice: Notice) -> None:
        """Publishes it. Raises Unavailable."""


def jitter_ns(plan: Plan, planned_ns: int) -> int:
    """Nanoseconds from a run's planned time to its start: drawn from its identity, so that every scheduler gets the same."""
    digest = hashlib.blake2b(f"{plan.name}@{planned_ns}".encode(), digest_size=8).digest()
    return int(plan.jitter_s * _NS * (int.from_bytes(digest, "big") / 2**64))


class Scheduler:
    """One term of the active scheduler. book: all that the topic says when the term begins."""

    def __init__(self, plans: Sequence[Plan], book: RunBook, *, queue: JobQueue, journal: Journal, notices: Notices, clock: Clock) -> None:
        self._plans = plans
        self._book = book
        self._queue = queue
        self._journal = journal
        self._notices = notices
        self._clock = clock

    async def step(self) -> None:
        """Does all that is due. To be called every second or so. Raises Deposed, and Unavailable when a run could not be written; then call it again."""
        for plan in self._plans:
            await self._follow(plan)
            await self._decide(plan)
            await self._launch_planned(plan)
            metrics.FAILURES_IN_A_ROW.labels(plan.name).set(self._book.failures_in_a_row(plan.name))

    # -- what is due

    async def _decide(self, plan: Plan) -> None:
        now = self._clock.now_ns()
        last = self._book.last_planned_ns(plan.name)
        if last is None:
            at_once = plan.first is First.AT_ONCE
            await self._write(Run(plan.name, now // _NS * _NS, RunState.PLANNED if at_once else RunState.REGISTERED))
            return
        due = list(takewhile(lambda planned: planned + jitter_ns(plan, planned) <= now, plan.times.after(max(last, now - _HORIZON_NS))))
        late = [planned for planned in due if now - planned > int((plan.jitter_s + GRACE_S) * _NS)]
        wanted = due[len(late) :]
        if late:
            made_up = _made_up(plan.missed, late, has_newer=bool(wanted))
            await self._skip_missed(plan, late[: len(late) - len(made_up)])
            for planned in made_up:
                await self._write(Run(plan.name, planned, RunState.PLANNED, detail="made up for: it could not be started in time"))
        for planned in wanted:
            await self._plan(plan, planned)

    async def _plan(self, plan: Plan, planned_ns: int) -> None:
        going_on = self._book.open(plan.name)
        waiting = [run for run in going_on if run.state is RunState.PLANNED]
        if going_on and plan.overlap is Overlap.SKIP:
            await self._skip(plan, planned_ns, f"the run of {_time(going_on[0].planned_ns)} still goes on")
        elif waiting and plan.overlap is Overlap.QUEUE:
            await self._skip(plan, planned_ns, f"the run of {_time(waiting[0].planned_ns)} waits already")
        else:
            await self._write(Run(plan.name, planned_ns, RunState.PLANNED))

    async def _skip(self, plan: Plan, planned_ns: int, why: str) -> None:
        await self._write(Run(plan.name, planned_ns, RunState.SKIPPED, detail=why))

    async def _skip_missed(self, plan: Plan, missed: Sequence[int]) -> None:
        if missed:
            # One record for all of them: a plan for each minute would write a thousand after a night.
            count = f"{len(missed)} runs were" if len(missed) > 1 else "the run was"
            await self._skip(plan, missed[-1], f"missed: {count} not started in time (since {_time(missed[0])})")

    # -- starting

    async def _launch_planned(self, plan: Plan) -> None:
        for run in self._book.open(plan.name):
            if run.state is not RunState.PLANNED:
                if plan.overlap is not Overlap.CANCEL_PREVIOUS:
                    return  # one after the other
                await self._cancel(run)
            elif not await self._launch(plan, run) or plan.overlap is not Overlap.CANCEL_PREVIOUS:
                return

    async def _cancel(self, run: Run) -> None:
        if not any(newer.state is RunState.PLANNED for newer in self._book.open(run.schedule)):
            return
        try:
            await self._queue.cancel(run.job_id)
        except NotFound:
            _log.info("the run to be cancelled is gone", run=run.key)
        except Unavailable as error:
            _log.warning("a run could not be cancelled yet", run=run.key, error=str(error))

    async def _launch(self, plan: Plan, run: Run) -> bool:
        """Whether its job exists."""
        traceparent = new_traceparent()
        new = NewJob(
            kind=plan.kind.name,
            request=plan.message(run.planned_ns),
            priority=plan.priority,
            unique_key=f"schedule/{run.key}",
            owner=f"schedule:{plan.name}",
            traceparent=traceparent,
        )
        try:
            job = await self._queue.create(new)
        except (Unavailable, ResourceExhausted) as error:
            metrics.POSTPONED.labels(plan.name).inc()
            _log.warning("a run cannot be started yet", run=run.key, error=str(error))
            return False
        started = replace(run, state=RunState.STARTED, started_ns=self._clock.now_ns(), job_id=job.id, trace_id=_trace_id(job.traceparent or traceparent))
        await self._write(started)
        _log.info("run started", run=run.key, job=job.id)
        return True

    # -- following

    async def _follow(self, plan: Plan) -> None:
        for run in self._book.open(plan.name):
            if run.state is RunState.STARTED:
                await self._follow_one(plan, run)

    async def _follow_one(self, plan: Plan, run: Run) -> None:
        try:
            job = await self._queue.get(run.job_id)
        except NotFound:
            await self._end(plan, replace(run, state=RunState.FAILED, ended_ns=self._clock.now_ns(), detail="its job is no longer known to the queue"))
            return
        except Unavailable as error:
            _log.warning("a run cannot be followed now", run=run.key, error=str(error))
            return
        if job.state.has_ended:
            await self._end(plan, _ended(run, job))

    async def _end(self, plan: Plan, run: Run) -> None:
        is_over = run.kept_memory_bytes > plan.keep_memory_bytes
        if is_over and await self._clean(run):
            kept, bound = run.kept_memory_bytes >> 20, plan.keep_memory_bytes >> 20
            run = replace(run, detail=f"{run.detail}; kept {kept} MiB of memory, over its {bound} MiB: caches are cleaned".removeprefix("; "))
        # Told before it is written: a scheduler that dies in between lets the next one tell it again, and not nobody.
        await self._tell_memory(plan, run, is_over)
        await self._tell_failures(plan, run)
        await self._write(run)
        metrics.RUN_SECONDS.labels(plan.name).set((run.ended_ns - run.started_ns) / _NS)
        metrics.PLANNED_TIME.labels(plan.name).set(run.planned_ns / _NS)
        metrics.PEAK_BYTES.labels(plan.name).set(run.peak_memory_bytes)
        metrics.KEPT_BYTES.labels(plan.name).set(run.kept_memory_bytes)

    async def _clean(self, run: Run) -> bool:
        """Whether a clean-up will happen."""
        request = jobs_service_pb2.CleanCacheRequest(reason=f"{run.key} kept {run.kept_memory_bytes >> 20} MiB")
        try:
            await self._queue.create(NewJob(CACHE_CLEAN.name, request, unique_key=f"clean/{run.key}", owner=f"schedule:{run.schedule}"))
        except (Unavailable, ResourceExhausted) as error:
            _log.warning("caches cannot be cleaned now", run=run.key, error=str(error))
            return False
        return True

    async def _tell_memory(self, plan: Plan, run: Run, is_over: bool) -> None:
        before = next((each for each in self._book.newest(plan.name) if each.state in (RunState.SUCCEEDED, RunState.FAILED)), None)
        if is_over or (before is not None and before.kept_memory_bytes > plan.keep_memory_bytes):
            title = f"{plan.name} kept {run.kept_memory_bytes >> 20} MiB of memory, its bound is {plan.keep_memory_bytes >> 20} MiB"
            detail = f"Run {run.key}, job {run.job_id}. {run.detail or 'Nothing to do.'}"
            await self._notices.tell(Notice(f"schedule/{plan.name}/memory", title, detail, is_resolved=not is_over))

    async def _tell_failures(self, plan: Plan, run: Run) -> None:
        failures = self._book.failures_in_a_row(plan.name) + (run.state is RunState.FAILED)
        if failures < ALERT_AFTER:
            return
        if run.state is RunState.SUCCEEDED:
            await self._notices.tell(Notice(f"schedule/{plan.name}/failing", f"{plan.name} works again", f"Run {run.key} succeeded.", is_resolved=True))
            return
        detail = f"The last: {run.detail}. `signalbox job show {run.job_id}` says more; the one to ask: {plan.owner or 'nobody is named'}."
        await self._notices.tell(Notice(f"schedule/{plan.name}/failing", f"{plan.name} has failed {failures} times in a row", detail))

    async def _write(self, run: Run) -> None:
        await self._journal.write(run)
        self._book.put(run)
        metrics.RUNS.labels(run.schedule, run.state.value).inc()


def _made_up(missed: Missed, late: Sequence[int], *, has_newer: bool) -> Sequence[int]:
    """Those of the missed times whose runs are started all the same: the last ones."""
    if missed is Missed.ALL:
        return late[-MOST_MADE_UP:]
    return late[-1:] if missed is Missed.LATEST and not has_newer else []


def _ended(run: Run, job: Job) -> Run:
    succeeded = job.state is JobState.SUCCEEDED
    return replace(
        run,
        state=RunState.SUCCEEDED if succeeded else RunState.FAILED,
        ended_ns=job.ended_ns,
        detail="" if succeeded else f"{job.state.value}: {job.error}".removesuffix(": "),
        peak_memory_bytes=job.peak_memory_bytes,
        kept_memory_bytes=job.kept_memory_bytes,
    )


def _trace_id(traceparent: str) -> str:
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns // _NS, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
