"""ScheduleService: what clients see of plans and runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from signalbox.reports.v1 import schedule_service_pb2 as pb

from services.reports.schedule.plans import parse_plans
from services.reports.schedule.runs import Run, RunState
from services.reports.schedule.servicer import ActiveScheduler, RunView, ScheduleServicer
from services.runtime.errors import InvalidArgument, NotFound
from services.runtime.job_kinds import JOB_KINDS
from services.runtime.kafka import Record
from services.runtime.testing import ManualClock
from services.runtime.topics import SCHEDULE

NS = 10**9
HOUR = 3600 * NS
NOBODY = cast(Any, None)


class Somebody(ActiveScheduler):
    def __init__(self) -> None:
        pass

    async def name(self) -> str:
        return "host:7"


def served(*runs: Run) -> tuple[ScheduleServicer, ManualClock]:
    clock, view = ManualClock(), RunView()
    view.add([Record(SCHEDULE.name, 0, number, run.key.encode(), run.record(1, "host:7"), [], 0) for number, run in enumerate(runs)])
    plans = parse_plans(
        [{"name": name, "kind": "cache.clean", "when": "0 * * * *", "description": "d", "owner": "Ada"} for name in ("beta", "alpha")], JOB_KINDS
    )
    return ScheduleServicer(plans, view, Somebody(), clock), clock


def run(hours: int, state: RunState = RunState.SUCCEEDED, name: str = "alpha") -> Run:
    planned = ManualClock().now_ns() // HOUR * HOUR + hours * HOUR
    return Run(
        name, planned, state, started_ns=planned + NS, ended_ns=planned + 3 * NS, job_id=f"j{hours}", peak_memory_bytes=5, kept_memory_bytes=2, trace_id="ab"
    )


async def test_schedules_come_by_name_with_next_and_last_runs() -> None:
    servicer, clock = served(*(run(-hours) for hours in range(9, 0, -1)), replace(run(0), state=RunState.FAILED, detail="no network"))
    answer = await servicer.ListSchedules(pb.ListSchedulesRequest(), NOBODY)
    alpha, beta = answer.schedules
    assert (alpha.name, beta.name, answer.leader) == ("alpha", "beta", "host:7")
    assert alpha.next_run_at.ToNanoseconds() == clock.now_ns() // HOUR * HOUR + HOUR
    assert [each.planned_at.seconds for each in alpha.last_runs] == sorted((each.planned_at.seconds for each in alpha.last_runs), reverse=True)
    assert (len(alpha.last_runs), alpha.failures_in_a_row) == (5, 1)
    first = alpha.last_runs[0]
    assert (first.state, first.detail, first.job_id, first.peak_memory_bytes, first.kept_memory_bytes) == (pb.RUN_STATE_FAILED, "no network", "j0", 5, 2)
    assert (alpha.when, alpha.time_zone, alpha.owner, alpha.missed, alpha.overlap) == ("at the start of every hour, UTC", "UTC", "Ada", "latest", "skip")
    assert list(beta.last_runs) == []


async def test_runs_come_page_by_page_without_hole_or_repetition() -> None:
    servicer, _clock = served(*(run(-hours, name=name) for hours in range(7) for name in ("alpha", "beta")))
    seen, token = [], ""
    while True:
        answer = await servicer.ListRuns(pb.ListRunsRequest(schedule="-", page_size=4, page_token=token), NOBODY)
        seen += [(each.planned_at.seconds, each.schedule) for each in answer.runs]
        if not (token := answer.next_page_token):
            break
    assert len(seen) == len(set(seen)) == 14
    assert seen == sorted(seen, key=lambda each: (-each[0], each[1]))


async def test_what_was_only_registered_is_no_run_and_what_is_planned_has_begun() -> None:
    servicer, _clock = served(run(-2, RunState.REGISTERED), run(-1, RunState.PLANNED))
    answer = await servicer.ListRuns(pb.ListRunsRequest(schedule="alpha"), NOBODY)
    assert [each.state for each in answer.runs] == [pb.RUN_STATE_STARTED]


async def test_wrong_questions() -> None:
    servicer, _clock = served(run(0))
    with pytest.raises(NotFound, match="gamma"):
        await servicer.ListRuns(pb.ListRunsRequest(schedule="gamma"), NOBODY)
    with pytest.raises(InvalidArgument, match="page_token"):
        await servicer.ListRuns(pb.ListRunsRequest(schedule="alpha", page_token="alpha@1"), NOBODY)
    with pytest.raises(InvalidArgument, match="page_size"):
        await servicer.ListRuns(pb.ListRunsRequest(schedule="alpha", page_size=-1), NOBODY)


def test_a_record_that_cannot_be_read_is_left_out() -> None:
    view = RunView()
    good = run(0)
    view.add([Record(SCHEDULE.name, 0, 0, b"k", b"\xff\xff", [], 0), Record(SCHEDULE.name, 0, 1, b"k", good.record(1, "x"), [], 0)])
    assert view.newest("-") == [good]
