"""A simulated year: three schedulers that die at any moment, some of which do not know that they are replaced; no run is doubled, none is lost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest

from services.reports.schedule.engine import Notice, Scheduler
from services.reports.schedule.leadership import Deposed
from services.reports.schedule.plans import Plan, parse_plans
from services.reports.schedule.runs import Run, RunBook, RunState, read_run
from services.runtime.errors import NotFound, Unavailable
from services.runtime.job_kinds import JOB_KINDS
from services.runtime.jobs import Job, JobState, NewJob, Priority
from services.runtime.testing import ManualClock

NS = 10**9
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=365)
BERLIN = ZoneInfo("Europe/Berlin")
#: How long the queue knows an ended job.
KEPT_NS = 24 * 3600 * NS

PLANS = [
    {"name": "hourly", "kind": "news.crawl", "when": "0 * * * *", "missed": "all", "overlap": "queue", "jitter": "2m"},
    {"name": "night", "kind": "cache.clean", "when": "30 2 * * *", "time_zone": "Europe/Berlin", "missed": "all", "overlap": "queue"},
    {"name": "close", "kind": "report.daily", "when": "15 minutes after the close of XNYS", "missed": "all", "overlap": "queue", "jitter": "1m"},
    {"name": "newest", "kind": "analysis.batch", "when": "0 */6 * * *", "missed": "latest", "overlap": "skip"},
]


class Killed(Exception):
    """The process ends here."""


@dataclass
class World:
    """What outlives every scheduler: the topic, the group, the queue."""

    clock: ManualClock
    dice: random.Random
    records: list[Run] = field(default_factory=list)
    newest: dict[str, Run] = field(default_factory=dict)
    generation: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    by_key: dict[str, str] = field(default_factory=dict)
    created: Counter[str] = field(default_factory=Counter)
    notices: list[Notice] = field(default_factory=list)
    deaths: float = 0.0
    queue_away: bool = False

    def may_die(self) -> None:
        """Between any two steps."""
        if self.dice.random() < self.deaths:
            raise Killed

    # -- the queue

    async def create(self, new: NewJob) -> Job:
        self.may_die()
        if self.queue_away:
            raise Unavailable("the queue", "its store does not answer")
        known = self.by_key.get(new.unique_key)
        # As the queue: what has ended is kept for a time, and then its key is free again.
        if known is None or self.clock.now_ns() > self.jobs[known].deadline_ns + KEPT_NS:
            known = f"job-{len(self.jobs)}"
            self.by_key[new.unique_key] = known
            ends = self.clock.now_ns() + self.dice.randrange(1, 900) * NS
            self.jobs[known] = Job(known, new.kind, JobState.RUNNING, Priority.NORMAL, b"", self.clock.now_ns(), unique_key=new.unique_key, deadline_ns=ends)
            self.created[new.unique_key] += 1
        self.may_die()
        return self.jobs[known]

    async def get(self, job_id: str) -> Job:
        if self.queue_away:
            raise Unavailable("the queue", "its store does not answer")
        if job_id not in self.jobs:
            raise NotFound("job", job_id)
        job = self.jobs[job_id]
        return replace(job, state=JobState.SUCCEEDED, ended_ns=job.deadline_ns) if self.clock.now_ns() >= job.deadline_ns else job

    async def cancel(self, job_id: str) -> Job:
        return await self.get(job_id)

    async def tell(self, notice: Notice) -> None:
        self.notices.append(notice)

    def book(self) -> RunBook:
        found = RunBook()
        for run in self.newest.values():
            found.put(run)
        return found

    def keep(self, record: bytes) -> None:
        run = read_run(record)
        self.records.append(run)
        self.newest[run.key] = run


@dataclass
class FencedJournal:
    """As the broker: takes writes of the current generation only."""

    world: World
    generation: int

    async def write(self, run: Run) -> None:
        self.world.may_die()
        if self.generation != self.world.generation:
            raise Deposed(f"generation {self.generation} is over")
        self.world.keep(run.record(self.generation, "x"))
        self.world.may_die()


def begin_term(world: World, plans: Sequence[Plan]) -> Scheduler:
    world.generation += 1
    journal = FencedJournal(world, world.generation)
    return Scheduler(plans, world.book(), queue=world, journal=journal, notices=world, clock=world.clock)  # type: ignore[arg-type]


def expected(plan: Plan, first: int, last: int) -> set[int]:
    """Computed anew, without the product's arithmetic."""
    if plan.name == "hourly":
        hour = 3600 * NS
        return set(range(first // hour * hour + hour, last, hour))
    if plan.name == "night":
        return {planned for planned in map(_night, range(400)) if first < planned < last}
    schedule = exchange_calendars.get_calendar("XNYS", start="2025-12-01", end="2027-01-31").schedule
    return {planned for planned in (stamp.value + 15 * 60 * NS for stamp in schedule["close"].tolist()) if first < planned < last}


def _night(number: int) -> int:
    """02:30 in Berlin; the first of the two where there are two, 03:00 where there is none."""
    day = (datetime(2025, 12, 20) + timedelta(days=number)).date()
    local = datetime(day.year, day.month, day.day, 2, 30, tzinfo=BERLIN)
    there_and_back = local.astimezone(UTC).astimezone(BERLIN)
    if there_and_back.replace(tzinfo=None) != local.replace(tzinfo=None):
        local = datetime(day.year, day.month, day.day, 3, 0, tzinfo=BERLIN)
    return int(local.timestamp()) * NS


async def _try_step(scheduler: Scheduler) -> bool:
    """Whether the scheduler lives on."""
    try:
        await scheduler.step()
    except (Killed, Deposed):
        return False
    except Unavailable:
        return True
    return True


@pytest.mark.parametrize("seed", [1])
async def test_a_year_with_deaths_outages_and_schedulers_that_think_they_are_active(seed: int) -> None:
    dice = random.Random(seed)
    clock = ManualClock(int(START.timestamp()) * NS)
    world = World(clock, dice)
    plans = parse_plans(PLANS, JOB_KINDS)
    end = int(END.timestamp()) * NS
    active: list[Scheduler] = [begin_term(world, plans)]  # the last one is the active one, those before do not know that they are replaced
    await _try_step(active[-1])
    first = clock.now_ns()
    world.deaths = 0.002
    replaced = outages = 0
    while clock.now_ns() < end:
        clock.advance(dice.choice((60, 900, 1800, 3000)))
        if dice.random() < 0.002:
            outages += 1
            clock.advance(dice.randrange(600, 20 * 3600))  # nobody is there, for less than a job is kept
            active = []
        world.queue_away = dice.random() < 0.01
        for scheduler in list(active):
            if not await _try_step(scheduler):
                active.remove(scheduler)
        if not active or dice.random() < 0.005:
            active = [*active[-2:], begin_term(world, plans)]
            replaced += 1
    # Whatever is still open at the end comes to its end.
    world.deaths, world.queue_away = 0.0, False
    last = begin_term(world, plans)
    for _ in range(3_000):
        clock.advance(60)
        await last.step()
        if not any(last._book.open(plan.name) for plan in plans):
            break

    assert replaced > 100
    assert outages > 20
    assert max(world.created.values()) == 1
    runs = {plan.name: _runs(world, plan.name) for plan in plans}
    for plan in plans[:3]:
        done = {run.planned_ns for run in runs[plan.name] if run.state is RunState.SUCCEEDED}
        wanted = {time for time in expected(plan, first, end) if time + 600 * NS < end}
        # Of all that is missed these plans leave out nothing; only a second run that would wait behind another.
        waited = {run.planned_ns for run in runs[plan.name] if run.state is RunState.SKIPPED and "waits already" in run.detail}
        assert wanted - done == waited & wanted
        assert len(waited) < 0.01 * len(wanted)
        assert done <= expected(plan, first, clock.now_ns())
        assert {f"schedule/{plan.name}@{time // NS}" for time in done} == {key for key in world.created if key.startswith(f"schedule/{plan.name}@")}
    assert all(run.state in (RunState.SUCCEEDED, RunState.SKIPPED, RunState.REGISTERED) for each in runs.values() for run in each)


def _runs(world: World, name: str) -> list[Run]:
    """The last record of each run."""
    return sorted((run for run in world.newest.values() if run.schedule == name), key=lambda run: run.planned_ns)


async def test_what_is_missed_is_skipped_made_up_once_or_made_up_whole() -> None:
    entry = {"kind": "news.crawl", "when": "0 * * * *", "overlap": "queue"}
    plans = parse_plans([{**entry, "name": missed, "missed": missed} for missed in ("skip", "latest", "all")], JOB_KINDS)
    clock = ManualClock(int(START.timestamp()) * NS)
    world = World(clock, random.Random(0))
    await begin_term(world, plans).step()
    clock.advance(5.5 * 3600)
    scheduler = begin_term(world, plans)
    for _ in range(100):
        await scheduler.step()
        clock.advance(10)
    found = {
        plan.name: [(run.state.value, (run.planned_ns - int(START.timestamp()) * NS) // (3600 * NS)) for run in _runs(world, plan.name)[1:]] for plan in plans
    }
    assert found["skip"] == [("skipped", 5)]
    assert found["latest"] == [("skipped", 4), ("succeeded", 5)]
    assert [hour for state, hour in found["all"]] == [1, 2, 3, 4, 5]
    assert found["all"][0][0] == "succeeded"


async def test_overlap_skips_queues_one_or_cancels() -> None:
    entry = {"kind": "news.crawl", "when": "* * * * *", "missed": "skip"}
    plans = parse_plans([{**entry, "name": name, "overlap": name} for name in ("skip", "queue", "cancel-previous")], JOB_KINDS)
    clock = ManualClock(int(START.timestamp()) * NS)
    world = World(clock, random.Random(0))
    cancelled: list[str] = []

    async def cancel(job_id: str) -> Job:
        cancelled.append(job_id)
        world.jobs[job_id] = replace(world.jobs[job_id], deadline_ns=clock.now_ns())
        return world.jobs[job_id]

    world.cancel = cancel  # type: ignore[method-assign]
    scheduler = begin_term(world, plans)
    await scheduler.step()
    for _ in range(4):
        clock.advance(60)
        for _again in range(2):
            await scheduler.step()
        for job_id, job in world.jobs.items():
            if job.deadline_ns > clock.now_ns():
                world.jobs[job_id] = replace(job, deadline_ns=clock.now_ns() + 3600 * NS)  # nothing ends by itself
    states = {plan.name: [run.state.value for run in _runs(world, plan.name)[1:]] for plan in plans}
    assert states["skip"] == ["started", "skipped", "skipped", "skipped"]
    assert states["queue"] == ["started", "planned", "skipped", "skipped"]
    assert states["cancel-previous"][-1] == "started"
    assert len(cancelled) >= 3


@dataclass
class Ends(World):
    """A queue whose jobs end as they are told to."""

    outcome: JobState = JobState.FAILED
    kept: int = 0

    async def get(self, job_id: str) -> Job:
        return replace(self.jobs[job_id], state=self.outcome, error="no network", ended_ns=self.clock.now_ns(), kept_memory_bytes=self.kept)


async def _minutes(world: World, scheduler: Scheduler, count: int) -> None:
    for _ in range(count):
        world.clock.advance(60)
        await scheduler.step()
        await scheduler.step()


def _minutely() -> Sequence[Plan]:
    return parse_plans([{"name": "x", "kind": "news.crawl", "when": "* * * * *", "owner": "Ada", "keep_memory": "10 MiB"}], JOB_KINDS)


async def test_three_failures_in_a_row_are_told_and_their_end_too() -> None:
    world = Ends(ManualClock(int(START.timestamp()) * NS), random.Random(0))
    scheduler = begin_term(world, _minutely())
    await scheduler.step()
    await _minutes(world, scheduler, 2)
    assert [notice for notice in world.notices if notice.key == "schedule/x/failing"] == []
    await _minutes(world, scheduler, 1)
    (notice,) = [notice for notice in world.notices if notice.key == "schedule/x/failing"]
    assert notice.title == "x has failed 3 times in a row"
    assert "failed: no network" in notice.detail
    assert "Ada" in notice.detail
    world.outcome = JobState.SUCCEEDED
    await _minutes(world, scheduler, 3)
    ends = [notice.is_resolved for notice in world.notices if notice.key == "schedule/x/failing"]
    assert ends == [False, True]


async def test_a_run_that_keeps_memory_starts_a_clean_up_and_says_so() -> None:
    world = Ends(ManualClock(int(START.timestamp()) * NS), random.Random(0), outcome=JobState.SUCCEEDED, kept=32 << 20)
    scheduler = begin_term(world, _minutely())
    await scheduler.step()
    await _minutes(world, scheduler, 1)
    assert [job.kind for job in world.jobs.values()].count("cache.clean") == 1
    run = _runs(world, "x")[1]
    assert run.detail == "kept 32 MiB of memory, over its 10 MiB: caches are cleaned"
    assert any(notice.key == "schedule/x/memory" and not notice.is_resolved for notice in world.notices)


def test_times_after_a_run_do_not_depend_on_where_one_begins() -> None:
    for plan in parse_plans(PLANS, JOB_KINDS):
        all_of = list(islice(plan.times.after(int(START.timestamp()) * NS), 40))
        for planned in all_of[:20]:
            assert next(plan.times.after(planned)) == all_of[all_of.index(planned) + 1]


async def test_what_never_failed_and_never_kept_memory_is_not_told_to_be_over() -> None:
    world = Ends(ManualClock(int(START.timestamp()) * NS), random.Random(0), outcome=JobState.SUCCEEDED)
    scheduler = begin_term(world, _minutely())
    await scheduler.step()
    await _minutes(world, scheduler, 3)
    assert world.notices == []


async def test_the_end_of_a_failure_is_told_also_by_the_scheduler_that_takes_over() -> None:
    world = Ends(ManualClock(int(START.timestamp()) * NS), random.Random(0))
    scheduler = begin_term(world, _minutely())
    await scheduler.step()
    await _minutes(world, scheduler, 3)
    world.outcome = JobState.SUCCEEDED
    await _minutes(world, begin_term(world, _minutely()), 2)
    assert [notice.is_resolved for notice in world.notices] == [False, True]
