"""What Kafka is told of jobs: each change on `reports.jobs.v1`, each finished one on `reports.results.v1`."""

from __future__ import annotations

import asyncio

from signalbox.events.v1 import job_pb2

from services.runtime.clock import Clock, SystemClock
from services.runtime.headers import record_headers
from services.runtime.job_queue.queue import OnEvent
from services.runtime.jobs import Job, JobKind, estimated_end_ns
from services.runtime.kafka import Publisher, PublishFailed
from services.runtime.logging import get_logger
from services.runtime.topics import JOBS, RESULTS

_log = get_logger("job-events")


def job_event(job: Job, now_ns: int) -> job_pb2.JobEvent:
    """A job as it is, for the topic of changes."""
    return job_pb2.JobEvent(
        id=job.id,
        kind=job.kind,
        state=job.state.value,
        priority=job.priority.value,
        attempt=job.attempt,
        done=job.progress.done,
        total=job.progress.total,
        unit=job.progress.unit,
        message=job.error or job.progress.message,
        ts_created=job.created_ns,
        ts_started=job.started_ns,
        ts_ended=job.ended_ns,
        ts_estimated_end=estimated_end_ns(job, now_ns),
        ts_event=now_ns,
        owner=job.owner,
    )


def job_result(job: Job, kind: JobKind) -> job_pb2.JobResult:
    """An ended job, for the topic of results. The same job gives the same bytes."""
    return job_pb2.JobResult(
        job=job_event(job, job.ended_ns),
        request_type=kind.request.DESCRIPTOR.full_name,
        request=job.request,
        result_type=kind.result.DESCRIPTOR.full_name if job.result is not None else "",
        result=job.result or b"",
        error_code=job.error_code,
        error_message=job.error,
        unique_key=job.unique_key,
        peak_memory_bytes=job.peak_memory_bytes,
        kept_memory_bytes=job.kept_memory_bytes,
    )


def job_event_sender(publisher: Publisher, clock: Clock | None = None) -> OnEvent:
    """For `open_job_queue`'s on_event: sends each event without waiting for its acknowledgement.

    An event that cannot be sent is logged and no error of the job's: whoever created it would believe that it was not accepted.
    """
    now = clock or SystemClock()

    async def send(job: Job) -> None:
        event = job_event(job, now.now_ns())
        headers = record_headers("JobEvent", f"{job.id}/{job.attempt}/{event.ts_event}", job.traceparent or None)
        try:
            sent = await publisher.publish(JOBS.name, 0, event.SerializeToString(), headers, job.id.encode())
        except PublishFailed as error:
            _log.warning("a job's event was not sent", job=job.id, state=job.state.value, error=str(error))
        else:
            sent.add_done_callback(_seen)

    return send


async def send_result(publisher: Publisher, job: Job, kind: JobKind) -> None:
    """Returns when the broker has the finished job. Raises PublishFailed.

    After a crash between this and the job's end in the store the job is run again and sent again, under the same key.
    """
    headers = record_headers("JobResult", job.id, job.traceparent or None)
    await (await publisher.publish(RESULTS.name, 0, job_result(job, kind).SerializeToString(deterministic=True), headers, job.id.encode()))


def _seen(sent: asyncio.Future[int]) -> None:
    if not sent.cancelled() and (error := sent.exception()) is not None:
        _log.warning("a job's event was not sent", error=str(error))
