"""`python -m services.reports`: the gRPC service of jobs, the schedule, and reports."""

from services.reports.settings import ReportsSettings
from services.reports.wiring import serve
from services.runtime.lifecycle import run
from services.runtime.settings import load_settings


def main() -> None:
    """Reads the settings and runs the service."""
    settings = load_settings(ReportsSettings)
    run("reports", settings, lambda lifecycle: serve(lifecycle, settings))


if __name__ == "__main__":
    main()
