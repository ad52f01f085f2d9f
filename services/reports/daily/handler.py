"""The kind `report.daily`: collect or read again the input, compute, write the files, keep them, deliver."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import cast

import grpc
from google.protobuf.message import Message
from signalbox.reports.v1 import reports_service_pb2 as pb

from services.reports.daily.adapters.alerts import AlertsTopic
from services.reports.daily.adapters.analysis import AnalysesOverGrpc
from services.reports.daily.adapters.installation import RunningInstallation
from services.reports.daily.adapters.news import NewsOverGrpc
from services.reports.daily.adapters.prices import PricesOverGrpc
from services.reports.daily.archive import archive_in
from services.reports.daily.collect import Wanted, collect
from services.reports.daily.compute import compute
from services.reports.daily.delivery import addresses, deliver
from services.reports.daily.files import FILES, INPUT, write_files
from services.reports.daily.model import DailyReportModel
from services.reports.daily.ports import Sources
from services.reports.daily.progress import ReportProgress, Stage
from services.reports.daily.recorded import ReportInput, input_sha256, read_input, write_input
from services.reports.daily.request import check_request
from services.reports.daily.settings import DailyReportSettings
from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import Unavailable
from services.runtime.grpc_client import channel
from services.runtime.job_kinds import REPORT_DAILY
from services.runtime.jobs import JobContext, JobHandler
from services.runtime.setting_types import asked_at
from services.runtime.settings import load_settings
from services.runtime.timestamps import timestamp

#: Shares of the whole at which the parts end; of 500 symbols, about.
_COLLECTED, _COMPUTED = 0.45, 0.5


def daily_report_handler() -> JobHandler:
    """For the worker. The function reads its settings from the environment, in the process in which it runs."""
    return JobHandler(REPORT_DAILY, run_daily_report, retry_on=(Unavailable,))


def run_daily_report(request: Message, context: JobContext) -> pb.DailyReport:
    """The function of the kind. Raises InvalidArgument, NothingToReport, ReportNotFound, Unavailable (prices), ReportCancelled."""
    return make_report(cast("pb.CreateDailyReportRequest", request), context, load_settings(DailyReportSettings), SystemClock())


def make_report(request: pb.CreateDailyReportRequest, context: JobContext, settings: DailyReportSettings, clock: Clock) -> pb.DailyReport:
    """Makes the report and keeps it."""
    began_ns = clock.monotonic_ns()
    check_request(request)
    archive, progress = archive_in(settings.home, clock), ReportProgress(context)
    data = archive.input_of(request.input_of) if request.input_of else write_input(asyncio.run(_collect(request, settings, clock, progress)))
    record = read_input(data)
    model = _computed(record, data, progress)
    files = {INPUT.name: data}
    for kind, content in write_files(model, tuple(request.formats), Stage(progress, _COMPUTED, 1.0).tell):
        files[kind.name] = content
    report = summary(model)
    report.seconds = (clock.monotonic_ns() - began_ns) / 1e9
    kept = archive.put(report, files)
    html = FILES[pb.REPORT_FORMAT_HTML].name
    page = archive.path(kept.id, html)[0] if html in files else None
    # The archive holds what the report is; how its delivery went is told by the job that delivered it.
    failed = deliver(settings.report_notify, model, page)
    kept.warnings.extend(failed)
    kept.deliveries, kept.deliveries_failed = len(addresses(settings.report_notify)), len(failed)
    progress.finish(f"report {kept.id}")
    return kept


def _computed(record: ReportInput, data: bytes, progress: ReportProgress) -> DailyReportModel:
    expected, stage = len(record.symbols), Stage(progress, _COLLECTED, _COMPUTED)
    progress.expect(expected)
    return compute(record, input_sha256(data), lambda done: stage.tell(done / expected, "computing"))


async def _collect(request: pb.CreateDailyReportRequest, settings: DailyReportSettings, clock: Clock, progress: ReportProgress) -> ReportInput:
    wanted = Wanted(request.date, tuple(sorted(set(request.universe))), request.time_zone or "UTC")
    stage = Stage(progress, 0.0, _COLLECTED)
    async with AsyncExitStack() as stack:
        sources = await _sources(settings, stack)
        return await collect(wanted, sources, clock, parallel=settings.report_parallel, told=stage.tell, expecting=progress.expect)


async def _sources(settings: DailyReportSettings, stack: AsyncExitStack) -> Sources:
    async def to(address: str) -> grpc.aio.Channel:
        return cast("grpc.aio.Channel", await stack.enter_async_context(channel(address)))

    timeout_s = settings.report_source_timeout_ms / 1e3
    return Sources(
        prices=PricesOverGrpc(await to(settings.prices_address), timeout_s),
        analyses=AnalysesOverGrpc(await to(settings.analysis_address), timeout_s),
        newsroom=NewsOverGrpc(await to(settings.news_address), timeout_s),
        alerts=AlertsTopic(settings.kafka_bootstrap_servers, timeout_s),
        installation=RunningInstallation(await to(settings.gateway_address), asked_at(settings.host), settings.metrics_ports(), timeout_s),
    )


def summary(model: DailyReportModel) -> pb.DailyReport:
    """The report as the archive lists it, without files."""
    meta, coverage = model.meta, model.coverage
    return pb.DailyReport(
        id=meta.id,
        date=meta.date,
        time_zone=meta.time_zone,
        recorded_at=timestamp(meta.recorded_ns),
        version=meta.version,
        input_sha256=meta.input_sha256,
        symbols_expected=coverage.expected,
        symbols_arrived=coverage.arrived,
        symbols_late=coverage.late,
        symbols_missing=coverage.missing,
        symbols_failed=coverage.failed,
        signals=len(model.signals),
        warnings=[f"{row.name}: {row.detail}" for row in coverage.sources if not row.ok],
    )
