"""The one registry of the kinds of jobs."""

from signalbox.analysis.v1 import batch_job_pb2
from signalbox.news.v1 import news_service_pb2
from signalbox.prices.v1 import history_job_pb2
from signalbox.reports.v1 import jobs_service_pb2, reports_service_pb2

from services.runtime.errors import InvalidArgument
from services.runtime.jobs import JobKind, Priority
from services.runtime.retries import RetryPolicy

_MIB = 1 << 20

REPORT_DAILY = JobKind(
    name="report.daily",
    service="reports",
    request=reports_service_pb2.CreateDailyReportRequest,
    result=reports_service_pb2.DailyReport,
    description="The daily report: HTML, PDF, JSON and Parquet, into the archive.",
    attempt_limit_s=900.0,
    memory_limit_bytes=2048 * _MIB,
    is_heavy=True,
    max_waiting=200,
)
HISTORY_COLLECT = JobKind(
    name="history.collect",
    service="prices",
    request=history_job_pb2.CollectHistoryRequest,
    result=history_job_pb2.CollectHistoryResult,
    description="Bars of the past from a source into market.bars.v1.",
    priority=Priority.LOW,
    attempt_limit_s=3600.0,
    memory_limit_bytes=1024 * _MIB,
    is_heavy=True,
    max_waiting=1_000,
)
ANALYSIS_BATCH = JobKind(
    name="analysis.batch",
    service="analysis",
    request=batch_job_pb2.AnalyzeManyRequest,
    result=batch_job_pb2.AnalyzeManyResult,
    description="Indicators and signals of many symbols over their whole history, as Parquet.",
    attempt_limit_s=1800.0,
    memory_limit_bytes=1536 * _MIB,
    is_heavy=True,
    max_waiting=1_000,
)
NEWS_CRAWL = JobKind(
    name="news.crawl",
    service="news",
    request=news_service_pb2.CrawlRequest,
    result=news_service_pb2.CrawlResult,
    description="Reads the news feeds that are due.",
    attempt_limit_s=300.0,
    max_waiting=1_000,
)
CACHE_CLEAN = JobKind(
    name="cache.clean",
    service="reports",
    request=jobs_service_pb2.CleanCacheRequest,
    result=jobs_service_pb2.CleanCacheResult,
    description="Empties caches; queues and results are never touched.",
    attempt_limit_s=120.0,
    retry=RetryPolicy(attempts=5, first_s=0.5, cap_s=10.0),
    max_waiting=1_000,
)

#: By name.
JOB_KINDS: dict[str, JobKind] = {kind.name: kind for kind in (REPORT_DAILY, HISTORY_COLLECT, ANALYSIS_BATCH, NEWS_CRAWL, CACHE_CLEAN)}


def job_kind(name: str) -> JobKind:
    """A kind by its name. Raises InvalidArgument naming those that exist."""
    try:
        return JOB_KINDS[name]
    except KeyError:
        raise InvalidArgument("kind", name, f"one of {', '.join(sorted(JOB_KINDS))}") from None
