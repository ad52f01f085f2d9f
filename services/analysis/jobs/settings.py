"""Settings of the worker of analysis jobs."""

from pydantic import Field

from services.runtime.job_queue import JobWorkerSettings
from services.runtime.setting_types import Address


class AnalysisJobsSettings(JobWorkerSettings):
    """What `python -m services.analysis.jobs` reads from the environment."""

    metrics_port: int = Field(9476, validation_alias="SIGNALBOX_ANALYSIS_JOBS_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""
    prices_address: Address = Field("127.0.0.1:50051", validation_alias="SIGNALBOX_PRICES_ADDRESS")
    """Address of the prices service, host:port."""
    series_timeout_ms: int = Field(60_000, validation_alias="SIGNALBOX_ANALYSIS_JOBS_SERIES_TIMEOUT_MS", ge=100, le=600_000)
    """Longest time in milliseconds that the prices service may take to send the bars of one series."""
