"""`python -m services.reports.worker`: runs the jobs of reports.

Its parts are put together here and not in `wiring`, so that neither process imports what only the other needs.
"""

from services.reports.cache_clean import cache_clean_handler
from services.reports.daily.handler import daily_report_handler
from services.reports.daily.settings import DailyReportSettings
from services.reports.settings import ReportsWorkerSettings
from services.runtime.job_queue import run_job_worker
from services.runtime.jobs import JobHandler
from services.runtime.lifecycle import Lifecycle, run
from services.runtime.memory import register_memory_metrics
from services.runtime.settings import check_settings, load_settings


def handlers(settings: ReportsWorkerSettings) -> list[JobHandler]:
    """The kinds of this service and their functions."""
    return [
        cache_clean_handler(settings.redis_url),
        daily_report_handler(),
    ]


async def work(lifecycle: Lifecycle, settings: ReportsWorkerSettings) -> None:
    """Runs jobs until the process is told to stop."""
    register_memory_metrics()
    await run_job_worker(settings, "reports", handlers(settings), lifecycle)


def main() -> None:
    """Reads the settings and runs the worker."""
    # Those of the report are read again by the process that makes it.
    check_settings(ReportsWorkerSettings, DailyReportSettings)
    settings = load_settings(ReportsWorkerSettings)
    run("reports-worker", settings, lambda lifecycle: work(lifecycle, settings))


if __name__ == "__main__":
    main()
