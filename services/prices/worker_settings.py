"""Settings of the stream worker that makes bars; apart from it, so that they can be checked without loading its kernels."""

from __future__ import annotations

from pydantic import Field

from services.runtime.stream.settings import StreamWorkerSettings


class PricesWorkerSettings(StreamWorkerSettings):
    """What `python -m services.prices.worker` reads from the environment."""

    app: str = "prices"
    """Name of the worker."""
    metrics_port: int = Field(9467, validation_alias="SIGNALBOX_PRICES_WORKER_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""
    lateness_ms: int = Field(2000, validation_alias="SIGNALBOX_LATENESS_MS", ge=0, le=86_400_000)
    """Milliseconds of event time that a tick may come after a later one of its source and symbol. Bars are final this much later."""
    snapshot_interval_ms: int = Field(200, validation_alias="SIGNALBOX_SNAPSHOT_INTERVAL_MS", ge=1, le=60_000)
    """Least milliseconds between two snapshots of a symbol's last trade; longer when many symbols trade (at most 125 snapshots a second and partition)."""
