"""streaq's worker, with what ours need besides: it outlives a store that goes away, reads without taking ahead, and looks for lost jobs each second."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import streaq
from coredis.exceptions import RedisError
from streaq.constants import REDIS_GROUP
from streaq.types import Entries, StreamMessage

from services.runtime.clock import Clock
from services.runtime.errors import Unavailable
from services.runtime.job_queue.delivery import PRIORITIES, TASK, encode
from services.runtime.job_queue.metrics import STORE_ERRORS
from services.runtime.job_queue.settings import JobWorkerSettings
from services.runtime.logging import get_logger

_log = get_logger("job-receiver")
#: What the client raises when the store is away or the connection breaks under it.
STORE_AWAY = (RedisError, OSError, TimeoutError, anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)
#: Seconds that a read waits for new jobs before it looks again for those of lost workers.
_BLOCK_S = 1.0
#: Seconds of silence after which a connection is given up; longer than a read that waits.
_STREAM_TIMEOUT_S = 4.0
_CONNECT_TIMEOUT_S = 1.0
_RETRY_S = 0.5
#: One waiting read may bring a job of each priority, one of which is started.
_ROOM_FOR_ONE_OF_EACH = len(PRIORITIES)


class LeaveDelivered(Exception):
    """Raised by the function that runs a job: the delivery is not ours any more and must not be acknowledged."""


class RunAgain(Exception):
    """Raised by the function that runs a job: deliver it again after `delay_s` seconds."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"again in {delay_s:.3f} s")
        self.delay_s = delay_s


_LEAVE = "leave"


class Receiver(streaq.Worker[None]):
    """Takes the jobs of one queue, in the order of their priority, at most `concurrency` at once, and has `run_job(id)` run each."""

    def __init__(
        self, queue: str, concurrency: int, settings: JobWorkerSettings, *, worker_id: str, run_job: Callable[[str], Awaitable[None]],
        stopping: asyncio.Event, restore: Callable[[], Awaitable[None]], clock: Clock,
    ) -> None:  # fmt: skip
        super().__init__(
            redis_url=settings.redis_url,
            redis_kwargs={"connect_timeout": _CONNECT_TIMEOUT_S, "stream_timeout": _STREAM_TIMEOUT_S},
            queue_name=queue,
            priorities=list(PRIORITIES),
            concurrency=concurrency,
            idle_timeout=settings.lost_after_s,
            serializer=encode,
            deserializer=json.loads,
            id=worker_id,
        )
        # The size of its buffer; `producer` sets the number that it takes.
        self.prefetch = concurrency + _ROOM_FOR_ONE_OF_EACH
        self._heartbeat_s, self._run_job, self._stopping, self._restore, self._clock = settings.heartbeat_s, run_job, stopping, restore, clock
        self._held: dict[str, set[str]] = defaultdict(set)
        self.alive_ns = clock.monotonic_ns()
        """When it last asked for jobs or gave a sign of life, by the monotonic clock."""
        self.trouble: str | None = None
        """Why the store cannot be used, if it cannot."""
        self.task(name=TASK, silent=True, max_tries=None, ttl=0)(self._deliver)

    async def _deliver(self, job_id: str) -> str:
        try:
            await self._run_job(job_id)
        except RunAgain as again:
            raise streaq.StreaqRetry(delay=timedelta(seconds=again.delay_s)) from again
        except LeaveDelivered:
            return _LEAVE
        return ""

    async def _check_xreadgroup_compatibility(self) -> None:
        """Reads by streaq's function with every server: the newer command has no order among waiting streams either way."""

    async def _read_streams_legacy(self, count: int, block: bool = False) -> Entries:
        self._is_well()
        if not block:
            return await super()._read_streams_legacy(count)
        # One of each priority at most: what is taken here beyond the first waits in this worker, where no other can have it.
        return await self.redis.xreadgroup(REDIS_GROUP, self.id, self._streams, block=int(_BLOCK_S * 1000), count=1)

    def _is_well(self) -> None:
        self.alive_ns, self.trouble = self._clock.monotonic_ns(), None

    async def _again(self, what: str, error: BaseException) -> None:
        STORE_ERRORS.labels(what).inc()
        if self.trouble is None:
            _log.warning("the queue's store does not answer", what=what, queue=self.queue_name, error=str(error))
        self.trouble, self.alive_ns = f"{what}: {error!r}", self._clock.monotonic_ns()
        await self._clock.sleep(_RETRY_S)

    async def producer(self, queue: Any, limiter: Any, scope: Any) -> None:
        """As streaq's, until it is cancelled."""
        self.prefetch = self.concurrency
        with queue:
            while True:
                try:
                    await super().producer(queue.clone(), limiter, scope)
                except STORE_AWAY as error:
                    await self._again("reading", error)
                    await self._back()

    async def _back(self) -> None:
        """Before jobs are read again, the signs of life of all workers have to come first: else jobs of living ones would look lost."""
        await self._clock.sleep(2 * self._heartbeat_s)
        try:
            await self._restore()
            await self._lib.create_groups(self.stream_key, REDIS_GROUP, *self.priorities)
        except (*STORE_AWAY, Unavailable) as error:
            await self._again("reading", error)

    async def schedule_delayed_tasks(self) -> None:
        """As streaq's, until it is cancelled."""
        while True:
            try:
                await super().schedule_delayed_tasks()
            except STORE_AWAY as error:
                await self._again("moving retries", error)

    async def renew_idle_timeouts(self, scope: Any) -> None:
        """Signs of life for the deliveries that are held, every heartbeat: streaq's own come when nine tenths of the time are over."""
        with scope:
            while True:
                try:
                    await self._renew()
                except STORE_AWAY as error:
                    await self._again("signs of life", error)
                await self._clock.sleep(self._heartbeat_s)

    async def _renew(self) -> None:
        for priority, messages in list(self._held.items()):
            if messages:
                await self.redis.xclaim(self.stream_key + priority, REDIS_GROUP, self.id, 0, list(messages), justid=True)
        self.alive_ns = self._clock.monotonic_ns()

    async def run_task(self, msg: StreamMessage) -> None:
        """As streaq's; a delivery that cannot be begun because the store is away comes again by itself."""
        held = self._held[msg.priority]
        held.add(msg.message_id)
        try:
            await super().run_task(msg)
        except STORE_AWAY as error:
            await self._again("taking a job", error)
        finally:
            held.discard(msg.message_id)

    async def finish_task(self, msg: StreamMessage, *arguments: Any, **named: Any) -> None:
        """As streaq's, again until the store has it; not at all for a delivery that is another worker's now."""
        while named["return_value"] != _LEAVE:
            try:
                return await super().finish_task(msg, *arguments, **named)
            except STORE_AWAY as error:
                await self._again("acknowledging", error)
                if self._stopping.is_set():
                    return None
        return None

    async def signal_handler(self, scope: Any) -> None:
        """Takes no more jobs once the process has to end; what runs is ended by whoever runs it."""
        await self._stopping.wait()
        scope.cancel()
