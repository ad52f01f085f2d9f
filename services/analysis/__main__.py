"""`python -m services.analysis`: the gRPC service of analysis."""

from services.analysis.settings import AnalysisSettings
from services.analysis.wiring import serve
from services.runtime.lifecycle import run
from services.runtime.settings import load_settings


def main() -> None:
    """Reads the settings and runs the service."""
    settings = load_settings(AnalysisSettings)
    run("analysis", settings, lambda lifecycle: serve(lifecycle, settings))


if __name__ == "__main__":
    main()
