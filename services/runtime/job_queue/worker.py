"""A worker of jobs: takes what the queues deliver, runs it, and records what came of it."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from collections.abc import Sequence

from redis import Redis
from redis.exceptions import RedisError

from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import InvalidArgument, Unavailable
from services.runtime.job_queue.delivery import functions, service_queue
from services.runtime.job_queue.events import job_event_sender
from services.runtime.job_queue.heavy import JobProcesses
from services.runtime.job_queue.receiver import Receiver
from services.runtime.job_queue.runner import JobRunner
from services.runtime.job_queue.settings import JobWorkerSettings
from services.runtime.job_queue.store import JobStore, connect
from services.runtime.job_queue.watch import JobWatch
from services.runtime.jobs import JobHandler
from services.runtime.kafka import KafkaPublisher, make_producer
from services.runtime.lifecycle import Lifecycle
from services.runtime.logging import get_logger
from services.runtime.ops import Check

_log = get_logger("job-worker")
#: A record that the broker has not taken by then is sent again by us: until then its job has not ended.
_DELIVERY_TIMEOUT_MS = 10_000
_STUCK_AFTER_S = 30.0
_PING_TIMEOUT_S = 1.0
_STORE_RETRY_S = 0.5


def store_check(redis_url: str) -> Check:
    """For OpsServer: whether the queue's store answers, asked each time."""
    client = Redis.from_url(redis_url, socket_timeout=_PING_TIMEOUT_S, socket_connect_timeout=_PING_TIMEOUT_S)

    def check() -> str | None:
        try:
            client.ping()
        except (RedisError, OSError) as error:
            return f"the queue's store does not answer: {error}"
        return None

    return check


class JobWorker:
    """Puts a worker's parts together and runs them."""

    def __init__(self, settings: JobWorkerSettings, service: str, handlers: Sequence[JobHandler], lifecycle: Lifecycle, clock: Clock | None = None) -> None:
        self._settings, self._service, self._lifecycle = settings, service, lifecycle
        self._handlers = {handler.kind.name: handler for handler in handlers}
        if strange := [name for name, handler in self._handlers.items() if handler.kind.service != service]:
            raise InvalidArgument("handlers", strange, f"kinds of {service}")
        self._clock = clock or SystemClock()
        self._id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._store = JobStore(connect(settings.redis_url), [functions()])
        self._processes = JobProcesses(lifecycle.process, settings, self._clock)
        self._publisher = KafkaPublisher(make_producer(settings.kafka_bootstrap_servers, delivery_timeout_ms=_DELIVERY_TIMEOUT_MS))
        self._runner = JobRunner(
            self._store, self._publisher, handlers=self._handlers, processes=self._processes, settings=settings, worker_id=self._id,
            on_event=job_event_sender(self._publisher, self._clock), stopping=lifecycle.stopping, clock=self._clock, uniform=random.uniform,
        )  # fmt: skip
        self._watch = JobWatch(self._store, self._runner, settings, self._clock)

    async def run(self) -> None:
        """Returns when the process has been told to stop and no job runs any more."""
        self._lifecycle.on_stop(self._close)
        receivers = self._receivers()
        self._add_checks(receivers)
        await self._until_store_answers()
        watching = [self._lifecycle.spawn(work, name) for work, name in ((self._watch.run(), "job-watch"), (self._watch.report(), "job-progress"))]
        draining = asyncio.create_task(self._drain())
        async with asyncio.TaskGroup() as group:
            for receiver in receivers:
                group.create_task(receiver.run_async(), name=f"receiver {receiver.queue_name}")
        draining.cancel()
        for task in watching:
            task.cancel()

    def _receivers(self) -> list[Receiver]:
        heavy = {handler.kind.is_heavy for handler in self._handlers.values()}
        sizes = {False: self._settings.light_concurrency, True: self._settings.heavy_processes}
        return [self._receiver(is_heavy, sizes[is_heavy]) for is_heavy in sorted(heavy)]

    def _receiver(self, is_heavy: bool, concurrency: int) -> Receiver:
        return Receiver(
            service_queue(self._service, heavy=is_heavy),
            concurrency,
            self._settings,
            worker_id=self._id,
            run_job=self._runner.run_heavy if is_heavy else self._runner.run,
            stopping=self._lifecycle.stopping,
            restore=self._store.load,
            clock=self._clock,
        )

    def _add_checks(self, receivers: Sequence[Receiver]) -> None:
        self._lifecycle.ops.add_ready_check("job store", store_check(self._settings.redis_url))
        for receiver in receivers:
            name = receiver.queue_name
            self._lifecycle.ops.add_ready_check(name, lambda receiver=receiver: receiver.trouble)  # type: ignore[misc]
            self._lifecycle.ops.add_live_check(name, lambda receiver=receiver: self._stuck(receiver.alive_ns))  # type: ignore[misc]
        self._lifecycle.ops.add_live_check("job watch", lambda: self._stuck(self._watch.alive_ns))

    def _stuck(self, alive_ns: int) -> str | None:
        silent_s = (self._clock.monotonic_ns() - alive_ns) / 1e9
        return f"no sign of life for {silent_s:.0f} s" if silent_s > _STUCK_AFTER_S else None

    async def _until_store_answers(self) -> None:
        while not self._lifecycle.stopping.is_set():
            try:
                return await self._store.load()
            except Unavailable as error:
                _log.warning("waiting for the queue's store", error=str(error))
                await self._clock.sleep(_STORE_RETRY_S)

    async def _drain(self) -> None:
        """After the signal: jobs may end for a while, then they are handed back."""
        await self._lifecycle.stopping.wait()
        await self._clock.sleep(self._settings.drain_s)
        self._runner.hand_back_all()

    async def _close(self) -> None:
        await self._processes.close()
        await self._publisher.close()
        await self._store.close()
