"""`python -m services.news`: the gRPC service of news."""

from services.news.feeds.config import load_feeds
from services.news.settings import NewsSettings
from services.news.wiring import serve
from services.runtime.lifecycle import run
from services.runtime.settings import load_settings


def main() -> None:
    """Reads the settings and the file of feeds, then runs the service."""
    settings = load_settings(NewsSettings)
    feeds = load_feeds(settings.feeds_file)
    run("news", settings, lambda lifecycle: serve(lifecycle, settings, feeds))


if __name__ == "__main__":
    main()
