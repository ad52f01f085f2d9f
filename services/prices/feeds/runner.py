"""Runs feeds side by side: each on its own, started again when it fails, told to end when the process ends."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from services.prices.feeds import metrics
from services.prices.feeds.outbox import Outbox
from services.prices.feeds.ports import NS, Step, Stored, TickFeed
from services.prices.sequencer import Sequencer
from services.runtime.clock import Clock
from services.runtime.logging import get_logger
from services.runtime.retries import RetryPolicy

_log = get_logger("feeds")

#: Every feed asserts its watermark each second, so a silence of this length means that the broker or the feed stands still.
SILENCE_LIMIT_S = 10.0
#: After a failure: soon at first, then a breath, so that a broker that starts is not run over.
BACKOFF = RetryPolicy(first_s=0.5, cap_s=15.0)
#: A feed that ran this long has recovered; the next failure counts as its first.
_RECOVERED_S = 60.0


class Phase(StrEnum):
    """Where a feed is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    ENDED = "ended"


class Run(Protocol):
    """One life of a feed, from start to end or failure."""

    @property
    def name(self) -> str:
        """Short name, for instance `replay-es`."""
        ...

    @property
    def source(self) -> str:
        """Feed and session, for instance `replay:es`."""
        ...

    async def __call__(self, state: "FeedState", stopping: asyncio.Event) -> None:
        """Runs until the feed has nothing more to send or `stopping` is set; then everything is acknowledged. Raises what went wrong."""
        ...


@dataclass(slots=True)
class FeedState:
    """What health checks and tests want to know of a feed."""

    name: str
    clock: Clock
    phase: Phase = Phase.STARTING
    why: str = "has not sent anything yet"
    outbox: Outbox | None = None
    failures: int = 0

    def check_ready(self) -> str | None:
        """None while records are acknowledged, else what is wrong."""
        if self.phase is not Phase.RUNNING or self.outbox is None:
            return None if self.phase is Phase.ENDED else f"{self.phase}: {self.why}"
        if self.outbox.acknowledged_ns is None:
            return "starting: no record acknowledged yet"
        silent_s = (self.clock.monotonic_ns() - self.outbox.acknowledged_ns) / NS
        return f"no record acknowledged for {silent_s:.0f} s" if silent_s > SILENCE_LIMIT_S else None

    def running(self, outbox: Outbox) -> None:
        """The feed sends through this outbox from now on."""
        self.phase, self.why, self.outbox = Phase.RUNNING, "", outbox


async def send_ticks(feed: TickFeed, stored: Stored, outbox: Outbox, sequencer: Sequencer, stopping: asyncio.Event) -> None:
    """Sends a feed's steps until it ends or `stopping` is set, then says that the source has ended. All is acknowledged on return."""
    async with aclosing(feed.steps(stored)) as steps:
        async for step in steps:
            outbox.check()
            await _take(step, sequencer)
            metrics.LAG.labels(feed.source).set(step.lag_ns / NS)
            if stopping.is_set():
                break
    await sequencer.end()


async def _take(step: Step, sequencer: Sequencer) -> None:
    if step.rows is not None:
        await sequencer.write(step.rows, step.replay_shift)
    await sequencer.promise(step.promise, now=step.urgent)


class FeedRunner:
    """Keeps feeds running. A failed one is started again with growing pauses; the others do not notice."""

    def __init__(self, clock: Clock, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._clock, self._uniform = clock, uniform

    async def run(self, runs: Sequence[tuple[Run, FeedState]], stopping: asyncio.Event) -> None:
        """Returns when every feed has ended, or all are stopped."""
        await asyncio.gather(*(self._keep(run, state, stopping) for run, state in runs))

    async def _keep(self, run: Run, state: FeedState, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            began = self._clock.monotonic_ns()
            try:
                await self._live(run, state, stopping)
                state.phase = Phase.ENDED
                return
            except Exception as error:  # noqa: BLE001 - the edge of the feed: counted, logged, shown in its health, and it starts again
                recovered = self._clock.monotonic_ns() - began > _RECOVERED_S * NS
                state.failures = 1 if recovered else state.failures + 1
                state.phase, state.why = Phase.FAILED, f"{type(error).__name__}: {error}"
                _log.error("feed failed", feed=state.name, failures=state.failures, error=str(error), exc_info=error)
                await self._pause(run, state, stopping)

    async def _live(self, run: Run, state: FeedState, stopping: asyncio.Event) -> None:
        metrics.UP.labels(run.source).set(1)
        try:
            await run(state, stopping)
        finally:
            metrics.UP.labels(run.source).set(0)

    async def _pause(self, run: Run, state: FeedState, stopping: asyncio.Event) -> None:
        metrics.RESTARTS.labels(run.source).inc()
        await first_of(self._clock.sleep(BACKOFF.wait_s(state.failures, self._uniform)), stopping)


async def first_of(wait: Awaitable[None], stopping: asyncio.Event) -> None:
    """Returns when the wait is over or `stopping` is set."""
    both = {asyncio.ensure_future(wait), asyncio.ensure_future(stopping.wait())}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in both:
            each.cancel()
