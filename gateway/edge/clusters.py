"""Clusters and their endpoints."""

import socket
from dataclasses import dataclass
from pathlib import Path

from gateway.edge.files import Json
from gateway.edge.settings import EdgeSettings
from services.runtime.setting_types import asked_at

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TYPE = "type.googleapis.com/"


@dataclass(frozen=True, slots=True)
class Upstream:
    """One process behind the edge."""

    name: str
    """Name of the cluster."""
    port: int
    """Where it listens."""
    http2: bool
    """Whether it speaks gRPC."""


def upstreams(settings: EdgeSettings) -> list[Upstream]:
    """Everything behind the edge."""
    return [
        Upstream("prices", settings.prices_port, http2=True),
        Upstream("analysis", settings.analysis_port, http2=True),
        Upstream("news", settings.news_port, http2=True),
        Upstream("reports", settings.reports_port, http2=True),
        Upstream("gateway", settings.gateway_port, http2=True),
        Upstream("web", settings.gateway_web_port, http2=False),
        Upstream("stream", settings.gateway_ws_port, http2=False),
    ]


def cluster(upstream: Upstream, settings: EdgeSettings, directory: Path) -> Json:
    """A cluster whose endpoints come from a file of their own."""
    return {
        "@type": f"{_TYPE}envoy.config.cluster.v3.Cluster",
        "name": upstream.name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": config_source(directory, f"eds-{upstream.name}.json")},
        "connect_timeout": "1s",
        "per_connection_buffer_limit_bytes": 256 << 10,
        "upstream_bind_config": {"socket_options": [socket_option(socket.SO_RCVBUF, 256 << 10)]},
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _protocol(upstream)},
        "circuit_breakers": {"thresholds": [_thresholds(settings)]},
        "outlier_detection": _outlier_detection(),
        "common_lb_config": {"healthy_panic_threshold": {"value": 50}},
    }


def endpoints(upstream: Upstream, settings: EdgeSettings) -> Json:
    """The endpoints of one cluster."""
    address: Json = {"socket_address": {"address": asked_at(settings.host), "port_value": upstream.port}}
    return {
        "@type": f"{_TYPE}envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": upstream.name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    }


def socket_option(option: int, value: int) -> Json:
    """An option of SOL_SOCKET, set before the socket connects or listens.

    Buffers that the kernel sizes by itself grow to several MiB a socket: a slow client would be tens of MiB behind before anyone noticed.
    """
    return {"level": str(socket.SOL_SOCKET), "name": str(option), "int_value": str(value), "state": "STATE_PREBIND"}


def resource_path(directory: Path, name: str) -> Path:
    """Where a resource file lies: in a folder of its own, because Envoy reads a file again at *any* rename in the folder it watches."""
    return directory / name.removesuffix(".json") / name


def config_source(directory: Path, name: str) -> Json:
    """A resource file that Envoy reads again when it is replaced."""
    path = resource_path(directory, name)
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}}}


def _protocol(upstream: Upstream) -> Json:
    keepalive: Json = {"interval": "30s", "timeout": "5s"}
    http2: Json = {"http2_protocol_options": {"connection_keepalive": keepalive}}
    http1: Json = {"http_protocol_options": {}}
    return {"@type": f"{_TYPE}{_HTTP_OPTIONS}", "explicit_http_config": http2 if upstream.http2 else http1}


def _thresholds(settings: EdgeSettings) -> Json:
    # Envoy's default of 1,024 would refuse the 1,025th WebSocket: each is a connection and a request.
    most = settings.max_connections
    budget: Json = {"budget_percent": {"value": 20}, "min_retry_concurrency": 3}
    return {"max_connections": most, "max_pending_requests": most, "max_requests": most, "retry_budget": budget}


def _outlier_detection() -> Json:
    # With one endpoint half of them is none, and `always_eject_one_host` off keeps it none: a cluster of one process is never emptied.
    return {
        "consecutive_5xx": 5,
        "interval": "5s",
        "base_ejection_time": "10s",
        "max_ejection_percent": 50,
        "always_eject_one_host": False,
        "split_external_local_origin_errors": True,
    }
