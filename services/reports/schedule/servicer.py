"""ScheduleService: the recurring jobs with their next and last runs, from the schedule's file and ops.schedule.v1."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from signalbox.reports.v1 import schedule_service_pb2 as pb
from signalbox.reports.v1 import schedule_service_pb2_grpc as pb_grpc

from services.reports.schedule.leadership import GROUP
from services.reports.schedule.plans import Plan
from services.reports.schedule.runs import Run, RunBook, RunState, read_run
from services.reports.translate import page_size_of
from services.runtime.clock import Clock
from services.runtime.errors import BadRecord, InvalidArgument, NotFound
from services.runtime.kafka import Record
from services.runtime.logging import get_logger
from services.runtime.timestamps import timestamp

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

_log = get_logger("schedule")

SERVICE = pb.DESCRIPTOR.services_by_name["ScheduleService"].full_name
_LAST_RUNS = 5
_ALL = "-"
#: Callers within this time share one answer of the broker about who is active.
_LEADER_SHARED_S = 2.0
_LEADER_TIMEOUT_S = 1.5

_STATES: Mapping[RunState, pb.RunState] = {
    # To a reader a run that is decided on and not started is one that begins.
    RunState.PLANNED: pb.RUN_STATE_STARTED,
    RunState.STARTED: pb.RUN_STATE_STARTED,
    RunState.SUCCEEDED: pb.RUN_STATE_SUCCEEDED,
    RunState.FAILED: pb.RUN_STATE_FAILED,
    RunState.SKIPPED: pb.RUN_STATE_SKIPPED,
}


class RunView:
    """The book of runs as the topic tells it; safe from any thread."""

    def __init__(self) -> None:
        self._book = RunBook()
        self._lock = threading.Lock()

    def add(self, records: list[Record]) -> None:
        """For TopicReader."""
        with self._lock:
            for record in records:
                try:
                    if record.value:
                        self._book.put(read_run(record.value))
                except BadRecord as error:
                    _log.warning("a record of the schedule cannot be read", offset=record.offset, reason=str(error))

    def newest(self, schedule: str) -> list[Run]:
        """Runs of one schedule, or of all, newest planned first."""
        with self._lock:
            return self._book.all_newest() if schedule == _ALL else list(self._book.newest(schedule))

    def next_ns(self, plan: Plan, now_ns: int) -> int | None:
        """Its next planned time."""
        with self._lock:
            last = self._book.last_planned_ns(plan.name)
        return next(plan.times.after(max(now_ns, last or 0)), None)

    def failures_in_a_row(self, schedule: str) -> int:
        """Failures since the last success."""
        with self._lock:
            return self._book.failures_in_a_row(schedule)


class ActiveScheduler:
    """Asks the broker who owns the schedule's partition."""

    def __init__(self, bootstrap: str, clock: Clock) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._clock = clock
        self._answer = (-(10**18), "")
        self._asking = asyncio.Lock()

    async def name(self) -> str:
        """Host and pid; empty when nobody is known to be active."""
        async with self._asking:
            now = self._clock.monotonic_ns()
            if now - self._answer[0] > _LEADER_SHARED_S * 1e9:
                self._answer = (now, await asyncio.to_thread(self._ask))
            return self._answer[1]

    def _ask(self) -> str:
        try:
            group = self._admin.describe_consumer_groups([GROUP], request_timeout=_LEADER_TIMEOUT_S)[GROUP].result()
        except KafkaException as error:
            _log.warning("the broker does not say who is the active scheduler", error=error.args[0].str())
            return ""
        owners = [member.client_id for member in group.members if member.assignment is not None and member.assignment.topic_partitions]
        return owners[0] if owners else ""


class ScheduleServicer(pb_grpc.ScheduleServiceServicer):
    """plans: in the order of the file; the scheduler has the same file."""

    def __init__(self, plans: Sequence[Plan], view: RunView, active: ActiveScheduler, clock: Clock) -> None:
        self._plans = {plan.name: plan for plan in sorted(plans, key=lambda plan: plan.name)}
        self._view, self._active, self._clock = view, active, clock

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Context) -> pb.ListSchedulesResponse:
        """All of them, by name."""
        # In a thread: calendars are read the first time.
        schedules = await asyncio.to_thread(lambda: [self._schedule(plan) for plan in self._plans.values()])
        return pb.ListSchedulesResponse(schedules=schedules, leader=await self._active.name())

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        """Runs of one schedule or of all; the page token is the identity of the last run of the page before."""
        if request.schedule != _ALL and request.schedule not in self._plans:
            raise NotFound("schedule", request.schedule)
        size = page_size_of(request.page_size)
        runs = self._view.newest(request.schedule)
        first = _after(runs, request.page_token)
        page = runs[first : first + size]
        more = first + size < len(runs)
        return pb.ListRunsResponse(runs=[run_message(run) for run in page], next_page_token=page[-1].key if more else "")

    def _schedule(self, plan: Plan) -> pb.Schedule:
        next_ns = self._view.next_ns(plan, self._clock.now_ns())
        return pb.Schedule(
            name=plan.name,
            kind=plan.kind.name,
            when=plan.times.words(),
            time_zone=plan.times.zone,
            owner=plan.owner,
            next_run_at=None if next_ns is None else timestamp(next_ns),
            last_runs=[run_message(run) for run in self._view.newest(plan.name)[:_LAST_RUNS]],
            failures_in_a_row=self._view.failures_in_a_row(plan.name),
            description=plan.description,
            jitter_seconds=plan.jitter_s,
            missed=plan.missed.value,
            overlap=plan.overlap.value,
        )


def _after(runs: Sequence[Run], token: str) -> int:
    """Where a page begins. A run that is no longer remembered was older than all that are."""
    if not token:
        return 0
    places = [place for place, run in enumerate(runs) if run.key == token]
    if not places:
        raise InvalidArgument("page_token", token, "next_page_token of the page before, not too long ago")
    return places[0] + 1


def run_message(run: Run) -> pb.ScheduleRun:
    """A run as clients see it."""
    message = pb.ScheduleRun(
        schedule=run.schedule, planned_at=timestamp(run.planned_ns), state=_STATES[run.state], job_id=run.job_id, detail=run.detail, trace_id=run.trace_id
    )
    if run.started_ns:
        message.started_at.CopyFrom(timestamp(run.started_ns))
    if run.ended_ns:
        message.ended_at.CopyFrom(timestamp(run.ended_ns))
    if run.peak_memory_bytes:
        message.peak_memory_bytes = run.peak_memory_bytes
        message.kept_memory_bytes = run.kept_memory_bytes
    return message
