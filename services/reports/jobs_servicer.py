"""The jobs door: validate, call, translate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import grpc
from google.longrunning import operations_pb2
from signalbox.reports.v1 import jobs_service_pb2 as pb
from signalbox.reports.v1 import jobs_service_pb2_grpc as pb_grpc

from services.reports import translate
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument
from services.runtime.jobs import JobKind, JobQueue
from services.runtime.telemetry import current_traceparent

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class JobsServicer(pb_grpc.JobsServiceServicer):
    """Takes jobs of the kinds it knows."""

    def __init__(self, queue: JobQueue, kinds: Mapping[str, JobKind], clock: Clock) -> None:
        self._queue, self._kinds, self._clock = queue, kinds, clock

    async def CreateJob(self, request: pb.CreateJobRequest, context: Context) -> operations_pb2.Operation:
        """Accepted when this answers."""
        new = translate.new_job_of(request, self._kinds, self._clock.now_ns(), current_traceparent())
        job = await self._queue.create(new)
        return translate.operation_message(job, self._kinds, self._clock.now_ns())

    async def ListJobKinds(self, request: pb.ListJobKindsRequest, context: Context) -> pb.ListJobKindsResponse:
        """All of them; they are few."""
        return pb.ListJobKindsResponse(kinds=[translate.kind_info(self._kinds[name]) for name in sorted(self._kinds)])

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """Newest first."""
        if request.kind and request.kind not in self._kinds:
            raise InvalidArgument("kind", request.kind, f"one of {', '.join(sorted(self._kinds))}")
        jobs, token = await self._queue.list(
            kinds=[request.kind] if request.kind else [],
            states=translate.states_of(request.states),
            page_size=translate.page_size_of(request.page_size),
            page_token=request.page_token,
        )
        now_ns = self._clock.now_ns()
        return pb.ListJobsResponse(jobs=[translate.job_message(job, self._kinds, now_ns, listed=True) for job in jobs], next_page_token=token)
