"""`python -m gateway`."""

from functools import partial

from gateway.settings import GatewaySettings
from gateway.wiring import main
from services.runtime.lifecycle import run
from services.runtime.settings import load_settings

if __name__ == "__main__":
    settings = load_settings(GatewaySettings)
    run("gateway", settings, partial(main, settings))
