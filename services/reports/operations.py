"""google.longrunning.Operations over the job queue: an operation is a job, its name `operations/<job id>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2

from services.reports import translate
from services.reports.errors import OperationNotFound
from services.reports.filters import Filter, make_token, parse_filter, read_token
from services.reports.ports import ResultArchive
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument, NotFound
from services.runtime.jobs import Job, JobKind, JobQueue, JobState

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

#: Seconds that one call waits at most: below the server's limit of 30 for calls whose client sets no deadline.
MAX_WAIT_S = 25.0
#: Seconds before a client's own deadline at which it is answered.
_MARGIN_S = 0.25
#: Jobs looked at for one page when most of them do not match; a page may then be short although more follow.
_MAX_LOOKED_AT = 2_000
_NAME = "operations"


class OperationsServicer(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]
    """Answers for jobs that the queue keeps, and from the archive of results for those that it no longer does."""

    def __init__(self, queue: JobQueue, archive: ResultArchive, kinds: Mapping[str, JobKind], clock: Clock) -> None:
        self._queue, self._archive, self._kinds, self._clock = queue, archive, kinds, clock

    async def GetOperation(self, request: operations_pb2.GetOperationRequest, context: Context) -> operations_pb2.Operation:
        """As it is now."""
        job_id = translate.job_id_of(request.name)
        try:
            return self._message(await self._queue.get(job_id))
        except NotFound:
            return self._message(await self._archived(job_id))

    async def ListOperations(self, request: operations_pb2.ListOperationsRequest, context: Context) -> operations_pb2.ListOperationsResponse:
        """Jobs that the queue keeps, newest first."""
        if request.name.strip("/") not in {"", _NAME}:
            raise InvalidArgument("name", request.name, _NAME)
        wanted = parse_filter(request.filter, self._kinds)
        size = translate.page_size_of(request.page_size)
        jobs, token = await self._page(wanted, size, read_token(wanted, request.page_token)) if wanted.states else ([], "")
        operations = [self._message(job, listed=True) for job in jobs]
        return operations_pb2.ListOperationsResponse(operations=operations, next_page_token=make_token(wanted, token))

    async def WaitOperation(self, request: operations_pb2.WaitOperationRequest, context: Context) -> operations_pb2.Operation:
        """Returns when it is done, or as it is at the end of the timeout or shortly before the call's deadline."""
        job_id = translate.job_id_of(request.name)
        try:
            return self._message(await self._queue.wait(job_id, _wait_s(request, context.time_remaining())))
        except NotFound:
            return self._message(await self._archived(job_id))

    async def CancelOperation(self, request: operations_pb2.CancelOperationRequest, context: Context) -> empty_pb2.Empty:
        """Asks for its end; one that is done stays as it is."""
        job_id = translate.job_id_of(request.name)
        try:
            await self._queue.cancel(job_id)
        except NotFound:
            await self._archived(job_id)
        return empty_pb2.Empty()

    async def DeleteOperation(self, request: operations_pb2.DeleteOperationRequest, context: Context) -> empty_pb2.Empty:
        """Forgets one that is done. Its result stays in the archive, where nothing is deleted."""
        job_id = translate.job_id_of(request.name)
        try:
            await self._queue.delete(job_id)
        except NotFound:
            await self._archived(job_id)
        return empty_pb2.Empty()

    def _message(self, job: Job, *, listed: bool = False) -> operations_pb2.Operation:
        return translate.operation_message(job, self._kinds, self._clock.now_ns(), listed=listed)

    async def _archived(self, job_id: str) -> Job:
        job = await self._archive.find(job_id)
        if job is None:
            raise OperationNotFound(f"{translate.OPERATIONS}{job_id}")
        return job

    async def _page(self, wanted: Filter, size: int, token: str) -> tuple[list[Job], str]:
        kinds = [wanted.kind] if wanted.kind else []
        states = [] if len(wanted.states) == len(JobState) else sorted(wanted.states)
        found: list[Job] = []
        looked_at = 0
        while True:
            # Never more than still fit, so that none is left over between two pages.
            jobs, token = await self._queue.list(kinds=kinds, states=states, page_size=size - len(found), page_token=token)
            found += [job for job in jobs if wanted.matches(job)]
            looked_at += len(jobs)
            if not token or len(found) == size or looked_at >= _MAX_LOOKED_AT:
                return found, token


def _wait_s(request: operations_pb2.WaitOperationRequest, remaining_s: float | None) -> float:
    limit_s = MAX_WAIT_S if remaining_s is None else max(0.0, remaining_s - _MARGIN_S)
    if not request.HasField("timeout"):
        return limit_s
    asked_ns = translate.duration_ns("timeout", request.timeout)
    if asked_ns < 0:
        raise InvalidArgument("timeout", f"{asked_ns / 1e9:g} s", "0 s or more")
    return min(asked_ns / 1e9, limit_s)
