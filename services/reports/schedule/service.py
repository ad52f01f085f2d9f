"""The scheduler's process: waits until it is the active one, then looks every second at what is due."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from confluent_kafka import Producer
from signalbox.events.v1 import alert_pb2

from services.reports.schedule.engine import Notice, Scheduler
from services.reports.schedule.leadership import Deposed, Leadership, Term
from services.reports.schedule.plans import Plan
from services.reports.schedule.runs import Run
from services.runtime.clock import Clock
from services.runtime.errors import Unavailable
from services.runtime.headers import record_headers
from services.runtime.jobs import JobQueue
from services.runtime.kafka import KafkaPublisher
from services.runtime.logging import get_logger
from services.runtime.topics import ALERTS

_log = get_logger("schedule")

#: Between two looks at what is due, and at whether we are the active one.
_LOOK_S = 0.5
#: The active scheduler is stuck when it did not finish a look for so long; a broker's restart takes less.
_STUCK_S = 60.0


class TermJournal:
    """Journal of one term."""

    def __init__(self, leadership: Leadership, term: Term) -> None:
        self._leadership, self._term = leadership, term

    async def write(self, run: Run) -> None:
        """As Journal says."""
        await self._leadership.write(self._term, run)


class AlertTopic:
    """Notices on ops.alerts.v1."""

    def __init__(self, producer: Producer, clock: Clock) -> None:
        self._publisher, self._clock = KafkaPublisher(producer), clock
        self._since: dict[str, int] = {}

    async def tell(self, notice: Notice) -> None:
        """As Notices says. An alert that is told again keeps the time since when."""
        now = self._clock.now_ns()
        since = self._since.pop(notice.key, now) if notice.is_resolved else self._since.setdefault(notice.key, now)
        alert = alert_pb2.Alert(key=notice.key, severity="warning", title=notice.title, detail=notice.detail, source="scheduler", ts_since=since, ts_event=now)
        alert.is_resolved = notice.is_resolved
        headers = record_headers("Alert", f"{notice.key}@{now}")
        await (await self._publisher.publish(ALERTS.name, 0, alert.SerializeToString(), headers, notice.key.encode()))

    async def close(self) -> None:
        """Sends what is left."""
        await self._publisher.close()


class SchedulerLoop:
    """Runs terms one after the other."""

    def __init__(self, plans: Sequence[Plan], leadership: Leadership, queue: JobQueue, alerts: AlertTopic, clock: Clock) -> None:
        self._plans, self._leadership, self._queue, self._alerts, self._clock = plans, leadership, queue, alerts, clock
        self._looked_ns = clock.monotonic_ns()
        self._problem: str | None = None

    def check_ready(self) -> str | None:
        """For OpsServer: as the active scheduler, whether its last look went well; as another one, whether it is in the group."""
        return self._leadership.check() or self._problem

    def check_alive(self) -> str | None:
        """For OpsServer: whether it looks."""
        idle = (self._clock.monotonic_ns() - self._looked_ns) / 1e9
        return f"nobody has looked at the schedule for {idle:.0f} s" if idle > _STUCK_S else self._leadership.check()

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set."""
        while not stopping.is_set():
            self._looked_ns = self._clock.monotonic_ns()
            if (term := self._leadership.term) is not None:
                await self._serve(term, stopping)
            await self._clock.sleep(_LOOK_S)

    async def _serve(self, term: Term, stopping: asyncio.Event) -> None:
        journal = TermJournal(self._leadership, term)
        scheduler = Scheduler(self._plans, term.book, queue=self._queue, journal=journal, notices=self._alerts, clock=self._clock)
        while not (stopping.is_set() or term.is_over):
            try:
                await scheduler.step()
                self._problem = None
            except Deposed as error:
                _log.warning("not the active scheduler any more", reason=str(error))
                return
            except Unavailable as error:
                self._problem = str(error)
                _log.warning("the schedule waits", reason=str(error))
            self._looked_ns = self._clock.monotonic_ns()
            await self._clock.sleep(_LOOK_S)
