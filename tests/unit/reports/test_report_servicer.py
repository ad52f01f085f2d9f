"""The gRPC face of daily reports, called directly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from signalbox.reports.v1 import jobs_service_pb2
from signalbox.reports.v1 import reports_service_pb2 as pb

from services.reports.daily.archive import ReportArchive
from services.reports.daily.errors import ReportNotFound
from services.reports.daily.servicer import ReportsServicer, unique_key
from services.runtime.errors import InvalidArgument
from services.runtime.job_kinds import JOB_KINDS
from services.runtime.jobs import Priority
from services.runtime.testing import ManualClock
from services.runtime.testing.job_queue import MemoryJobQueue

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

CONTEXT = cast("Context", None)
BIG = bytes(range(256)) * 800


@pytest.fixture
def archive(tmp_path: Path) -> ReportArchive:
    found = ReportArchive(tmp_path)
    for day in range(1, 8):
        date = f"2026-03-{day:02}"
        found.put(pb.DailyReport(id=f"{date}-{day:08x}", date=date, recorded_at=Timestamp(seconds=day)), {"input.zip": b"input", "report.pdf": BIG})
    return found


@pytest.fixture
def queue() -> MemoryJobQueue:
    return MemoryJobQueue(clock=ManualClock())


@pytest.fixture
def servicer(queue: MemoryJobQueue, archive: ReportArchive) -> ReportsServicer:
    return ReportsServicer(queue, archive, JOB_KINDS, ManualClock())


async def test_a_report_is_a_job(servicer: ReportsServicer, queue: MemoryJobQueue) -> None:
    request = pb.CreateDailyReportRequest(date="2013-03-01", priority=jobs_service_pb2.JOB_PRIORITY_HIGH)
    operation = await servicer.CreateDailyReport(request, CONTEXT)
    (job,) = queue.jobs.values()
    assert operation.name == f"operations/{job.id}"
    assert not operation.done
    assert (job.kind, job.priority, job.unique_key) == ("report.daily", Priority.HIGH, "")
    assert pb.CreateDailyReportRequest.FromString(job.request) == request
    # Asked again a moment later the services may say more: another job.
    assert (await servicer.CreateDailyReport(request, CONTEXT)).name != operation.name


async def test_the_same_input_twice_is_one_job(servicer: ReportsServicer, queue: MemoryJobQueue) -> None:
    request = pb.CreateDailyReportRequest(input_of="latest", formats=[pb.REPORT_FORMAT_HTML, pb.REPORT_FORMAT_JSON])
    first = await servicer.CreateDailyReport(request, CONTEXT)
    same = pb.CreateDailyReportRequest(input_of="2026-03-07-00000007", formats=[pb.REPORT_FORMAT_JSON, pb.REPORT_FORMAT_HTML])
    assert (await servicer.CreateDailyReport(same, CONTEXT)).name == first.name
    assert pb.CreateDailyReportRequest.FromString(next(iter(queue.jobs.values())).request).input_of == "2026-03-07-00000007"
    other = pb.CreateDailyReportRequest(input_of="2026-03-07-00000007", formats=[pb.REPORT_FORMAT_JSON])
    assert (await servicer.CreateDailyReport(other, CONTEXT)).name != first.name
    assert len(unique_key(same)) < 200


async def test_what_cannot_be_asked_for(servicer: ReportsServicer, queue: MemoryJobQueue) -> None:
    with pytest.raises(InvalidArgument, match="date"):
        await servicer.CreateDailyReport(pb.CreateDailyReportRequest(date="today"), CONTEXT)
    with pytest.raises(InvalidArgument, match="priority"):
        await servicer.CreateDailyReport(pb.CreateDailyReportRequest(priority=17), CONTEXT)  # type: ignore[arg-type]
    with pytest.raises(ReportNotFound):
        await servicer.CreateDailyReport(pb.CreateDailyReportRequest(input_of="2026-03-07-ffffffff"), CONTEXT)
    assert not queue.jobs


async def test_pages_go_through_all_and_new_reports_shift_nothing(servicer: ReportsServicer, archive: ReportArchive) -> None:
    seen: list[str] = []
    token = ""
    while True:
        page = await servicer.ListReports(pb.ListReportsRequest(page_size=3, page_token=token), CONTEXT)
        seen += [report.date[-2:] for report in page.reports]
        archive.put(pb.DailyReport(id=f"2026-04-01-{len(seen):08x}", date="2026-04-01"), {"input.zip": b""})
        token = page.next_page_token
        if not token:
            break
    assert seen == ["07", "06", "05", "04", "03", "02", "01"]


@pytest.mark.parametrize("request_", [pb.ListReportsRequest(page_size=501), pb.ListReportsRequest(page_token="x"), pb.ListReportsRequest(page_token="YQ==")])
async def test_wrong_pages(servicer: ReportsServicer, request_: pb.ListReportsRequest) -> None:
    with pytest.raises(InvalidArgument):
        await servicer.ListReports(request_, CONTEXT)


async def test_a_file_comes_in_parts_of_64_kib(servicer: ReportsServicer) -> None:
    parts = [part async for part in servicer.DownloadReport(pb.DownloadReportRequest(id="latest", file="report.pdf"), CONTEXT)]
    assert b"".join(part.data for part in parts) == BIG
    assert [len(part.data) for part in parts] == [65_536] * 3 + [len(BIG) - 3 * 65_536]
    assert {part.content_type for part in parts} == {"application/pdf"}
    with pytest.raises(ReportNotFound):
        [part async for part in servicer.DownloadReport(pb.DownloadReportRequest(id="latest", file="report.html"), CONTEXT)]


async def test_one_report(servicer: ReportsServicer) -> None:
    found = await servicer.GetReport(pb.GetReportRequest(id="latest"), CONTEXT)
    assert found.report.date == "2026-03-07"
