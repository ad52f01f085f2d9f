"""The stream worker that makes bars: `python -m services.prices.worker`."""

from __future__ import annotations

import sys

from services.prices.sessions import SessionTable
from services.prices.stream import PricesProcessor, warm_up
from services.prices.worker_settings import PricesWorkerSettings
from services.runtime import topics
from services.runtime.lifecycle import Lifecycle, run
from services.runtime.settings import EXIT_WRONG_SETTINGS, load_settings
from services.runtime.stream.worker import run_worker

_NS_PER_MS = 1_000_000


def main() -> None:
    """Reads settings and sessions, then works until told to stop. Exits 2 when the table of sessions is missing."""
    settings = load_settings(PricesWorkerSettings)
    path = settings.home / "tables" / "sessions.npz"
    try:
        sessions = SessionTable.load(path)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"no table of sessions ({error}); build it with: python -m services.prices.sessions --build --out {path}\n")
        raise SystemExit(EXIT_WRONG_SETTINGS) from error

    def make_processor(partition: int) -> PricesProcessor:
        return PricesProcessor(partition, settings.partitions, sessions, settings.lateness_ms * _NS_PER_MS, settings.snapshot_interval_ms * _NS_PER_MS)

    async def work(lifecycle: Lifecycle) -> None:
        warm_up()
        await run_worker(settings, topics.TICKS, topics.PRICES_CHECKPOINTS, make_processor, lifecycle)

    run("prices-worker", settings, work)


if __name__ == "__main__":
    main()
