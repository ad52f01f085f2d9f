"""`python -m services.analysis.jobs`: runs the jobs of analysis."""

from services.analysis.jobs.batch import analysis_batch_handler
from services.analysis.jobs.settings import AnalysisJobsSettings
from services.runtime.job_queue import run_job_worker
from services.runtime.lifecycle import Lifecycle, run
from services.runtime.memory import register_memory_metrics
from services.runtime.settings import load_settings


async def work(lifecycle: Lifecycle, settings: AnalysisJobsSettings) -> None:
    """Runs jobs until the process is told to stop."""
    register_memory_metrics()
    await run_job_worker(settings, "analysis", [analysis_batch_handler()], lifecycle)


def main() -> None:
    """Reads the settings and runs the worker."""
    settings = load_settings(AnalysisJobsSettings)
    run("analysis-jobs", settings, lambda lifecycle: work(lifecycle, settings))


if __name__ == "__main__":
    main()
