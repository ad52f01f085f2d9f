"""`python -m services.prices.jobs`: runs the jobs of prices."""

from services.prices.jobs.collect import history_collect_handler
from services.prices.jobs.settings import PricesJobsSettings
from services.runtime.job_queue import run_job_worker
from services.runtime.lifecycle import Lifecycle, run
from services.runtime.memory import register_memory_metrics
from services.runtime.settings import load_settings


async def work(lifecycle: Lifecycle, settings: PricesJobsSettings) -> None:
    """Runs jobs until the process is told to stop."""
    register_memory_metrics()
    await run_job_worker(settings, "prices", [history_collect_handler()], lifecycle)


def main() -> None:
    """Reads the settings and runs the worker."""
    settings = load_settings(PricesJobsSettings)
    run("prices-jobs", settings, lambda lifecycle: work(lifecycle, settings))


if __name__ == "__main__":
    main()
