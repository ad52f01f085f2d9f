"""The gRPC face of daily reports: validate, call, translate."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.api import httpbody_pb2
from google.longrunning import operations_pb2
from signalbox.reports.v1 import reports_service_pb2 as pb
from signalbox.reports.v1 import reports_service_pb2_grpc as pb_grpc

from services.reports import translate
from services.reports.daily.archive import ReportArchive, archive_in
from services.reports.daily.model import REPORT_VERSION
from services.reports.daily.request import check_request
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument
from services.runtime.grpc_server import Service
from services.runtime.job_kinds import REPORT_DAILY
from services.runtime.jobs import JobKind, JobQueue, NewJob
from services.runtime.telemetry import current_traceparent

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = pb.DESCRIPTOR.services_by_name["ReportsService"].full_name
#: Of a file in one message.
_CHUNK_BYTES = 64 << 10


class ReportsServicer(pb_grpc.ReportsServiceServicer):
    """Takes reports as jobs and answers from the archive."""

    def __init__(self, queue: JobQueue, archive: ReportArchive, kinds: Mapping[str, JobKind], clock: Clock) -> None:
        self._queue, self._archive, self._kinds, self._clock = queue, archive, kinds, clock

    async def CreateDailyReport(self, request: pb.CreateDailyReportRequest, context: Context) -> operations_pb2.Operation:
        """Accepted when this answers."""
        check_request(request)
        if request.input_of:
            # Asked now, so that the caller hears of a wrong id and not the job.
            request.input_of = (await asyncio.to_thread(self._archive.get, request.input_of)).id
        new = NewJob(
            kind=REPORT_DAILY.name,
            request=request,
            priority=translate.priority_of(request.priority),
            unique_key=unique_key(request),
            traceparent=current_traceparent() or "",
        )
        job = await self._queue.create(new)
        return translate.operation_message(job, self._kinds, self._clock.now_ns())

    async def GetReport(self, request: pb.GetReportRequest, context: Context) -> pb.GetReportResponse:
        """One report of the archive."""
        return pb.GetReportResponse(report=await asyncio.to_thread(self._archive.get, request.id))

    async def ListReports(self, request: pb.ListReportsRequest, context: Context) -> pb.ListReportsResponse:
        """The archive in pages, each after the last report of the page before: reports that come meanwhile shift nothing."""
        size = translate.page_size_of(request.page_size)
        found = await asyncio.to_thread(self._archive.list)
        if request.page_token:
            after = _read_token(request.page_token)
            found = [report for report in found if _place(report) < after]
        token = _make_token(found[size - 1]) if len(found) > size else ""
        return pb.ListReportsResponse(reports=found[:size], next_page_token=token)

    async def DownloadReport(self, request: pb.DownloadReportRequest, context: Context) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """A file in parts."""
        path, file = await asyncio.to_thread(self._archive.path, request.id, request.file)
        with path.open("rb") as source:
            while data := await asyncio.to_thread(source.read, _CHUNK_BYTES):
                yield httpbody_pb2.HttpBody(content_type=file.content_type, data=data)


def reports_service(queue: JobQueue, home: Path, kinds: Mapping[str, JobKind], clock: Clock) -> Service:
    """The service as a server takes it. home: the data folder."""
    return pb_grpc.add_ReportsServiceServicer_to_server, ReportsServicer(queue, archive_in(home, clock), kinds, clock), SERVICE


def unique_key(request: pb.CreateDailyReportRequest) -> str:
    """Empty but for reports from a recorded input, of which asking twice can give nothing new: what the services say may be other a moment later."""
    if not request.input_of:
        return ""
    formats = ",".join(str(item) for item in sorted(set(request.formats)))
    meaning = f"{request.input_of} {formats} {REPORT_VERSION}"
    return f"{REPORT_DAILY.name}:{hashlib.sha256(meaning.encode()).hexdigest()[:32]}"


def _place(report: pb.DailyReport) -> tuple[str, int, str]:
    return report.date, report.recorded_at.ToNanoseconds(), report.id


def _make_token(report: pb.DailyReport) -> str:
    return base64.urlsafe_b64encode("/".join(map(str, _place(report))).encode()).decode()


def _read_token(token: str) -> tuple[str, int, str]:
    try:
        date, recorded, report_id = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii").split("/")
        return date, int(recorded), report_id
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("page_token", token, "the next_page_token of the page before") from error
