"""Settings of the prices gRPC service."""

from typing import Literal

from pydantic import Field

from services.prices.instrument_settings import InstrumentSettings
from services.runtime.settings import RuntimeSettings


class PricesSettings(InstrumentSettings, RuntimeSettings):
    """What `python -m services.prices` reads from the environment."""

    port: int = Field(default=50051, validation_alias="SIGNALBOX_PRICES_PORT", ge=0, le=65535)
    """Port of the gRPC service; 0 takes any free one."""
    metrics_port: int = Field(default=9464, validation_alias="SIGNALBOX_PRICES_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""
    replica: str = Field(default="0", validation_alias="SIGNALBOX_REPLICA", pattern=r"^[A-Za-z0-9_.-]+$")
    """Name of this process among several of its kind, the same after a restart. At its start it ends the sources that it had open when it was killed."""
    bars_per_series: int = Field(default=200_000, validation_alias="SIGNALBOX_PRICES_BARS_PER_SERIES", ge=1_000, le=10_000_000)
    """Bars kept in memory for each (symbol, interval), about 100 bytes each; the oldest go first."""
    ingest_flush_ms: float = Field(default=5.0, validation_alias="SIGNALBOX_INGEST_FLUSH_MS", ge=0.0, le=1_000.0)
    """Longest time in milliseconds that a tick waits for others before its batch is sent; twice that where ticks come thick and fast."""
    ingest_batch_rows: int = Field(default=4_096, validation_alias="SIGNALBOX_INGEST_BATCH_ROWS", ge=1, le=32_768)
    """Ticks of one partition that are sent without waiting longer."""
    ingest_ack_timeout_ms: int = Field(default=10_000, validation_alias="SIGNALBOX_INGEST_ACK_TIMEOUT_MS", ge=1_000, le=300_000)
    """Longest time in milliseconds that the broker may take to acknowledge a batch, or to make room for one."""
    ingest_queue_kib: int = Field(default=65_536, validation_alias="SIGNALBOX_INGEST_QUEUE_KIB", ge=1_024, le=2_097_151)
    """Batches that may wait for the broker, KiB over all streams; while there are more, no stream is read. A tick is 41 bytes of a batch."""
    ingest_parser: Literal["columns", "plain"] = Field(default="columns", validation_alias="SIGNALBOX_INGEST_PARSER")
    """How messages of ticks are read: in columns, or plainly, by protobuf's objects (slower; the measure and the oracle of the other)."""
