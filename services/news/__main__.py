"""`python -m services.news`: the gRPC service of news."""

from services.news.settings import NewsSettings
from services.news.wiring import serve
from services.runtime.lifecycle import run
from services.runtime.settings import load_settings


def main() -> None:
    """Reads the settings and runs the service."""
    settings = load_settings(NewsSettings)
    run("news", settings, lambda lifecycle: serve(lifecycle, settings))


if __name__ == "__main__":
    main()
