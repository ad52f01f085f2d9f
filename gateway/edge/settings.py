"""Where Envoy listens and where it finds what is behind it."""

from pydantic import Field

from services.runtime.setting_types import Ipv4Address
from services.runtime.tracing_settings import TracingSettings


def _port(default: int, variable: str) -> int:
    port: int = Field(default=default, ge=1, le=65535, validation_alias=variable)
    return port


class EdgeSettings(TracingSettings):
    """Every address in Envoy's configuration. Upstreams are on `host`, where the stack runs them."""

    host: Ipv4Address = Field(default="127.0.0.1", validation_alias="SIGNALBOX_HOST")
    """IPv4 address the edge listens on; the upstreams are reached there too, at 127.0.0.1 if it is 0.0.0.0."""
    edge_port: int = _port(8080, "SIGNALBOX_EDGE_PORT")
    """The one port for clients."""
    envoy_admin_port: int = _port(9901, "SIGNALBOX_ENVOY_ADMIN_PORT")
    """Envoy's admin; always on 127.0.0.1."""
    envoy_metrics_port: int = _port(9480, "SIGNALBOX_ENVOY_METRICS_PORT")
    """Serves /stats/prometheus and nothing else."""
    prices_port: int = _port(50051, "SIGNALBOX_PRICES_PORT")
    """gRPC of prices."""
    analysis_port: int = _port(50052, "SIGNALBOX_ANALYSIS_PORT")
    """gRPC of analysis."""
    news_port: int = _port(50053, "SIGNALBOX_NEWS_PORT")
    """gRPC of news."""
    reports_port: int = _port(50054, "SIGNALBOX_REPORTS_PORT")
    """gRPC of reports: jobs and their operations, the schedule, reports."""
    gateway_port: int = _port(50050, "SIGNALBOX_GATEWAY_PORT")
    """gRPC of the gateway: subscriptions, system status, reflection and health of all."""
    gateway_web_port: int = _port(50060, "SIGNALBOX_GATEWAY_WEB_PORT")
    """Static files of the page."""
    gateway_ws_port: int = _port(50061, "SIGNALBOX_GATEWAY_WS_PORT")
    """WebSocket."""
    max_connections: int = Field(default=20_000, ge=1, le=10_000_000, validation_alias="SIGNALBOX_EDGE_MAX_CONNECTIONS")
    """Clients connected at once, before Envoy refuses more."""
    max_heap_bytes: int = Field(default=768 << 20, ge=64 << 20, le=1 << 40, validation_alias="SIGNALBOX_EDGE_MAX_HEAP_BYTES")
    """Heap at which Envoy sheds load, bytes."""
