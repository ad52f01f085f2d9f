"""Settings of the worker of prices jobs."""

from pydantic import Field

from services.prices.instrument_settings import InstrumentSettings
from services.runtime.job_queue import JobWorkerSettings
from services.runtime.setting_types import Address, ServerUrl


class PricesJobsSettings(InstrumentSettings, JobWorkerSettings):
    """What `python -m services.prices.jobs` reads from the environment."""

    metrics_port: int = Field(9475, validation_alias="SIGNALBOX_PRICES_JOBS_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""
    prices_address: Address = Field("127.0.0.1:50051", validation_alias="SIGNALBOX_PRICES_ADDRESS")
    """Address of the prices service, host:port: it knows which bars are there already."""
    yahoo_url: ServerUrl = Field("https://query1.finance.yahoo.com", validation_alias="SIGNALBOX_YAHOO_URL")
    """Where Yahoo's chart API is asked."""
    source_timeout_s: float = Field(30.0, validation_alias="SIGNALBOX_HISTORY_TIMEOUT_S", gt=0, le=600)
    """Seconds that a source may take for one answer."""
    source_pause_s: float = Field(0.5, validation_alias="SIGNALBOX_HISTORY_PAUSE_S", ge=0, le=60)
    """Seconds between two questions to a source on the network."""
