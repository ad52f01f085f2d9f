"""`python -m services.news`: the gRPC service of news."""

import sys

from services.news.errors import WrongFeeds
from services.news.feeds.config import load_feeds
from services.news.settings import NewsSettings
from services.news.wiring import serve
from services.runtime.lifecycle import run
from services.runtime.settings import EXIT_WRONG_SETTINGS, load_settings


def main() -> None:
    """Reads settings and the file of feeds, then runs the service. Exits 2 when the file is wrong."""
    settings = load_settings(NewsSettings)
    try:
        feeds = load_feeds(settings.feeds_file)
    except WrongFeeds as error:
        sys.stderr.write(f"the file of feeds is wrong: {error}\n")
        raise SystemExit(EXIT_WRONG_SETTINGS) from error
    run("news", settings, lambda lifecycle: serve(lifecycle, settings, feeds))


if __name__ == "__main__":
    main()
