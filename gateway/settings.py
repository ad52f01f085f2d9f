"""What the gateway is told by its environment."""

from pathlib import Path

from pydantic import Field

from gateway.hub.limits import Limits
from services.runtime.settings import RuntimeSettings


def _port(default: int, variable: str) -> int:
    port: int = Field(default=default, ge=1, le=65535, validation_alias=variable)
    return port


class GatewaySettings(RuntimeSettings):
    """Settings of the gateway process."""

    gateway_port: int = _port(50050, "SIGNALBOX_GATEWAY_PORT")
    """gRPC."""
    web_port: int = _port(50060, "SIGNALBOX_GATEWAY_WEB_PORT")
    """The page's files."""
    ws_port: int = _port(50061, "SIGNALBOX_GATEWAY_WS_PORT")
    """WebSocket."""
    metrics_port: int = _port(9466, "SIGNALBOX_GATEWAY_METRICS_PORT")
    """/metrics, /healthz, /readyz."""

    prices_port: int = _port(50051, "SIGNALBOX_PRICES_PORT")
    """gRPC of prices: asked for its health."""
    analysis_port: int = _port(50052, "SIGNALBOX_ANALYSIS_PORT")
    """gRPC of analysis: asked for its health."""
    news_port: int = _port(50053, "SIGNALBOX_NEWS_PORT")
    """gRPC of news: asked for its health."""
    reports_port: int = _port(50054, "SIGNALBOX_REPORTS_PORT")
    """gRPC of reports: asked for its health."""
    prices_metrics_port: int = _port(9464, "SIGNALBOX_PRICES_METRICS_PORT")
    """Asked for the state of prices."""
    analysis_metrics_port: int = _port(9465, "SIGNALBOX_ANALYSIS_METRICS_PORT")
    """Asked for the state of analysis."""
    prices_worker_metrics_port: int = _port(9467, "SIGNALBOX_PRICES_WORKER_METRICS_PORT")
    """Asked for the state of prices-worker."""
    analysis_worker_metrics_port: int = _port(9468, "SIGNALBOX_ANALYSIS_WORKER_METRICS_PORT")
    """Asked for the state of analysis-worker."""
    feeds_metrics_port: int = _port(9469, "SIGNALBOX_FEEDS_METRICS_PORT")
    """Asked for the state of feeds."""
    reports_metrics_port: int = _port(9470, "SIGNALBOX_REPORTS_METRICS_PORT")
    """Asked for the state of reports."""
    reports_worker_metrics_port: int = _port(9471, "SIGNALBOX_REPORTS_WORKER_METRICS_PORT")
    """Asked for the state of reports-worker."""
    scheduler_metrics_port: int = _port(9472, "SIGNALBOX_SCHEDULER_METRICS_PORT")
    """Asked for the state of scheduler."""
    news_metrics_port: int = _port(9473, "SIGNALBOX_NEWS_METRICS_PORT")
    """Asked for the state of news."""
    news_worker_metrics_port: int = _port(9474, "SIGNALBOX_NEWS_WORKER_METRICS_PORT")
    """Asked for the state of news-worker."""
    prices_jobs_metrics_port: int = _port(9475, "SIGNALBOX_PRICES_JOBS_METRICS_PORT")
    """Asked for the state of prices-jobs."""
    analysis_jobs_metrics_port: int = _port(9476, "SIGNALBOX_ANALYSIS_JOBS_METRICS_PORT")
    """Asked for the state of analysis-jobs."""
    envoy_admin_port: int = _port(9901, "SIGNALBOX_ENVOY_ADMIN_PORT")
    """Asked for the state of Envoy."""
    supervisor_state: Path | None = Field(default=None, validation_alias="SIGNALBOX_SUPERVISOR_STATE")
    """File in which whoever starts the processes says how they ended; it explains why one does not answer. The stack sets it."""

    hub_rows: int = Field(2_000, ge=1_000, le=100_000, validation_alias="SIGNALBOX_HUB_ROWS")
    """Rows kept of each series of final bars, indicators and signals; a history asks for at most 1,000."""
    hub_flush_ms: float = Field(3.0, ge=0.0, le=1000.0, validation_alias="SIGNALBOX_HUB_FLUSH_MS")
    """Least time between two frames to a client, milliseconds."""
    max_connections: int = Field(2_000, ge=1, le=1_000_000, validation_alias="SIGNALBOX_HUB_MAX_CONNECTIONS")
    """Clients of the hub at once."""
    max_subscriptions: int = Field(5_000, ge=1, le=10_000_000, validation_alias="SIGNALBOX_HUB_MAX_SUBSCRIPTIONS")
    """Pairs of a symbol and a channel at an interval, per client."""
    max_queue_bytes: int = Field(8 << 20, ge=1 << 20, le=4 << 30, validation_alias="SIGNALBOX_HUB_MAX_QUEUE_BYTES")
    """What may wait for one client, bytes; over it the client is disconnected."""
    drain_seconds: float = Field(1.0, ge=0.0, le=3.0, validation_alias="SIGNALBOX_HUB_DRAIN_SECONDS")
    """Time between `going_away` and the end of the connections, seconds."""

    def limits(self) -> Limits:
        """The hub's limits."""
        return Limits(
            connections=self.max_connections,
            subscriptions=self.max_subscriptions,
            queue_bytes=self.max_queue_bytes,
            tick_bytes=self.max_queue_bytes // 4,
        )
