"""Settings of the two processes of analysis."""

from pydantic import Field

from services.runtime.setting_types import Address
from services.runtime.settings import RuntimeSettings
from services.runtime.stream.settings import AppName, StreamWorkerSettings


class AnalysisWorkerSettings(StreamWorkerSettings):
    """What `python -m services.analysis.worker` reads from the environment."""

    app: AppName = Field("analysis", validation_alias="SIGNALBOX_ANALYSIS_APP")
    """Name of the worker; its consumer group is `signalbox-<name>`."""
    gather_ms: int = Field(50, validation_alias="SIGNALBOX_ANALYSIS_GATHER_MS", ge=0, le=1000)
    """Milliseconds that a fetch waits for more final bars while they come: those of all symbols come within 100 ms, and records cost more than bars."""
    metrics_port: int = Field(9468, validation_alias="SIGNALBOX_ANALYSIS_WORKER_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""


class AnalysisSettings(RuntimeSettings):
    """What `python -m services.analysis` reads from the environment."""

    port: int = Field(50052, validation_alias="SIGNALBOX_ANALYSIS_PORT", ge=0, le=65535)
    """Port of the gRPC service; 0 takes any free one."""
    metrics_port: int = Field(9465, validation_alias="SIGNALBOX_ANALYSIS_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""
    prices_address: Address = Field("127.0.0.1:50051", validation_alias="SIGNALBOX_PRICES_ADDRESS")
    """Address of the prices service, host:port."""
    prices_timeout_ms: int = Field(10_000, validation_alias="SIGNALBOX_ANALYSIS_PRICES_TIMEOUT_MS", ge=100, le=300_000)
    """Longest time in milliseconds that the prices service may take to send the bars of one series."""
    bars_kept: int = Field(2_000_000, validation_alias="SIGNALBOX_ANALYSIS_BARS_KEPT", ge=10_000, le=100_000_000)
    """Bars kept in memory over all series, 64 bytes each; those of the series not used for longest go first."""
    threads: int = Field(2, validation_alias="SIGNALBOX_ANALYSIS_THREADS", ge=1, le=64)
    """Threads that compute. More than there are cores does not help."""
    batch_parallel: int = Field(16, validation_alias="SIGNALBOX_ANALYSIS_BATCH_PARALLEL", ge=1, le=256)
    """Symbols of one batch that are under way at once."""
    cache_ttl_s: float = Field(300.0, validation_alias="SIGNALBOX_ANALYSIS_CACHE_TTL_S", ge=1, le=2_592_000)
    """Seconds that an answer is kept in the cache. A key names the content it was made from, so this bounds memory, not age."""
