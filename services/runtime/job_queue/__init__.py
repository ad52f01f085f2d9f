"""The job queue on Valkey: `open_job_queue` for those who create jobs and ask for them, `run_job_worker` for those who run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from services.runtime.clock import Clock
from services.runtime.job_queue.settings import JobWorkerSettings

if TYPE_CHECKING:
    # Settings are read by commands that never see a job: the library, gRPC and the messages of all kinds take two seconds.
    from services.runtime.job_queue.queue import OnEvent, ValkeyJobQueue
    from services.runtime.jobs import JobHandler, JobKind
    from services.runtime.lifecycle import Lifecycle

__all__ = ["JobWorkerSettings", "open_job_queue", "run_job_worker"]


def open_job_queue(
    redis_url: str, *, kinds: Mapping[str, JobKind] | None = None, clock: Clock | None = None, on_event: OnEvent | None = None
) -> ValkeyJobQueue:
    """The queue whose store is at `redis_url`. Nothing is connected yet: a process may start before its store.

    It is an asynchronous context manager; without one, `await queue.close()`. kinds: those that may be created and listed; None: the product's.
    on_event: awaited after this side has created or ended a job, see `events.job_event_sender`.
    """
    from services.runtime.job_kinds import JOB_KINDS
    from services.runtime.job_queue.queue import make_job_queue

    return make_job_queue(redis_url, JOB_KINDS if kinds is None else kinds, clock, on_event)


async def run_job_worker(settings: JobWorkerSettings, service: str, handlers: Sequence[JobHandler], lifecycle: Lifecycle) -> None:
    """Runs the jobs of a service's kinds until the process is told to stop; then ends or hands back what runs.

    service: `reports`, `prices`, `analysis`, `news`. handlers: the functions, for kinds of that service. Adds ready and live checks.
    """
    # Only workers need what runs jobs.
    from services.runtime.job_queue.worker import JobWorker

    await JobWorker(settings, service, handlers, lifecycle).run()
