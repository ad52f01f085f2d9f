"""Runs of the recurring jobs, and the book of them that a scheduler keeps. Times are UTC nanoseconds, 0 where something has not happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from google.protobuf.message import DecodeError
from signalbox.events.v1 import schedule_run_pb2

from services.runtime.errors import BadRecord

_NS = 10**9
#: Ended runs of each schedule that are remembered; the topic has them all.
_REMEMBERED = 200


class RunState(StrEnum):
    """What has become of a run."""

    #: No run: the schedule was seen for the first time, and its times count from here.
    REGISTERED = "registered"
    #: Decided on; its job is not known to exist yet.
    PLANNED = "planned"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Schedule and planned time are its identity."""

    schedule: str
    planned_ns: int
    state: RunState
    started_ns: int = 0
    ended_ns: int = 0
    job_id: str = ""
    detail: str = ""
    peak_memory_bytes: int = 0
    kept_memory_bytes: int = 0
    trace_id: str = ""

    @property
    def key(self) -> str:
        """Key of its record, and with a prefix that of its job."""
        return f"{self.schedule}@{self.planned_ns // _NS}"

    @property
    def is_open(self) -> bool:
        """Whether something is still to happen to it."""
        return self.state in (RunState.PLANNED, RunState.STARTED)

    def record(self, generation: int, scheduler: str) -> bytes:
        """The value of its record. generation: of the group, in which this is written. scheduler: who writes it."""
        return schedule_run_pb2.ScheduleRun(
            schedule=self.schedule,
            ts_planned=self.planned_ns,
            ts_started=self.started_ns,
            ts_ended=self.ended_ns,
            state=self.state.value,
            job_id=self.job_id,
            detail=self.detail,
            peak_memory_bytes=self.peak_memory_bytes,
            kept_memory_bytes=self.kept_memory_bytes,
            trace_id=self.trace_id,
            generation=generation,
            scheduler=scheduler,
        ).SerializeToString()


def read_run(value: bytes) -> Run:
    """A run from the value of its record. Raises BadRecord."""
    try:
        record = schedule_run_pb2.ScheduleRun.FromString(value)
        state = RunState(record.state)
    except (DecodeError, ValueError) as error:
        raise BadRecord(f"not a run of the schedule: {error}") from error
    return Run(
        schedule=record.schedule,
        planned_ns=record.ts_planned,
        state=state,
        started_ns=record.ts_started,
        ended_ns=record.ts_ended,
        job_id=record.job_id,
        detail=record.detail,
        peak_memory_bytes=record.peak_memory_bytes,
        kept_memory_bytes=record.kept_memory_bytes,
        trace_id=record.trace_id,
    )


class RunBook:
    """What is known of all runs: the newest record of each. Not for several threads."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[int, Run]] = {}

    def put(self, run: Run) -> None:
        """A newer record of a run, or a new run."""
        runs = self._runs.setdefault(run.schedule, {})
        runs[run.planned_ns] = run
        if len(runs) > 2 * _REMEMBERED:
            self._forget(runs)

    def last_planned_ns(self, schedule: str) -> int | None:
        """The latest planned time about which something was decided; None for a schedule that was never seen."""
        runs = self._runs.get(schedule)
        return max(runs) if runs else None

    def open(self, schedule: str) -> list[Run]:
        """Runs to which something is still to happen, in their order."""
        return sorted((run for run in self._runs.get(schedule, {}).values() if run.is_open), key=lambda run: run.planned_ns)

    def newest(self, schedule: str) -> Iterator[Run]:
        """Runs of a schedule, newest planned first."""
        for _planned, run in sorted(self._runs.get(schedule, {}).items(), reverse=True):
            if run.state is not RunState.REGISTERED:
                yield run

    def all_newest(self) -> list[Run]:
        """Runs of all schedules, newest planned first; of one time by name."""
        return sorted((run for name in self._runs for run in self.newest(name)), key=lambda run: (-run.planned_ns, run.schedule))

    def failures_in_a_row(self, schedule: str) -> int:
        """Failures since the last success."""
        count = 0
        for run in self.newest(schedule):
            if run.state is RunState.SUCCEEDED:
                break
            count += run.state is RunState.FAILED
        return count

    @staticmethod
    def _forget(runs: dict[int, Run]) -> None:
        ended = [planned for planned, run in sorted(runs.items()) if not run.is_open]
        for planned in ended[:-_REMEMBERED]:
            del runs[planned]
