"""The feeds process: `python -m services.prices.feeds`."""

from services.prices.feeds.settings import FeedsSettings
from services.prices.feeds.wiring import serve
from services.runtime.lifecycle import Lifecycle, run
from services.runtime.settings import load_settings


def main() -> None:
    """Runs the configured feeds until SIGTERM."""
    settings = load_settings(FeedsSettings)

    async def feeds(lifecycle: Lifecycle) -> None:
        await serve(settings, lifecycle)

    run("feeds", settings, feeds)


if __name__ == "__main__":
    main()
