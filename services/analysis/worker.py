"""`python -m services.analysis.worker`: the stream worker of analysis.

Its parts are put together here and not in `wiring`, so that neither process imports what only the other needs.
"""

import asyncio

from services.analysis.settings import AnalysisWorkerSettings
from services.analysis.stream import AnalysisProcessor, warm_up
from services.runtime.kafka_admin import ensure_topics
from services.runtime.lifecycle import Lifecycle, run
from services.runtime.memory import register_memory_metrics
from services.runtime.settings import load_settings
from services.runtime.stream.worker import run_worker
from services.runtime.topics import ANALYSIS_CHECKPOINTS, BARS, INDICATORS, SIGNALS


async def run_stream(lifecycle: Lifecycle, settings: AnalysisWorkerSettings) -> None:
    """Runs the stream worker until the process is told to stop."""
    register_memory_metrics()
    topics = (BARS, BARS.dead_letters(), INDICATORS, SIGNALS, ANALYSIS_CHECKPOINTS)
    await asyncio.to_thread(ensure_topics, settings.kafka_bootstrap_servers, settings.partitions, topics)
    # Set-up has compiled the kernel; if not, it is compiled here and not in the middle of a record.
    await asyncio.to_thread(warm_up)
    await run_worker(settings, BARS, ANALYSIS_CHECKPOINTS, AnalysisProcessor, lifecycle)


def main() -> None:
    """Reads the settings and runs the worker."""
    settings = load_settings(AnalysisWorkerSettings)
    run("analysis-worker", settings, lambda lifecycle: run_stream(lifecycle, settings))


if __name__ == "__main__":
    main()
