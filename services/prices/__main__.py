"""`python -m services.prices`: the gRPC service of prices and bars, and the door for ticks."""

from services.prices.settings import PricesSettings
from services.prices.wiring import serve
from services.runtime.lifecycle import run
from services.runtime.settings import load_settings


def main() -> None:
    """Reads the settings and runs the service."""
    settings = load_settings(PricesSettings)
    run("prices", settings, lambda lifecycle: serve(lifecycle, settings))


if __name__ == "__main__":
    main()
