"""Envoy's spans: the first of a unary call's, sent to the collector that our own processes send theirs to."""

from urllib.parse import urlsplit

from gateway.edge.files import Json
from gateway.edge.settings import EdgeSettings

COLLECTOR = "otel_collector"
"""Name of the collector's cluster."""

_TYPE = "type.googleapis.com/"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_OTLP_PORT = 4317


def collector_clusters(settings: EdgeSettings) -> list[Json]:
    """The collector's cluster, when there is a collector."""
    if settings.otlp_endpoint is None:
        return []
    url = urlsplit(settings.otlp_endpoint)
    address: Json = {"socket_address": {"address": url.hostname, "port_value": url.port or _OTLP_PORT}}
    tls: Json = {"@type": f"{_TYPE}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": url.hostname}
    cluster: dict[str, Json] = {
        "name": COLLECTOR,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {_HTTP_OPTIONS: {"@type": f"{_TYPE}{_HTTP_OPTIONS}", "explicit_http_config": {"http2_protocol_options": {}}}},
        "load_assignment": {"cluster_name": COLLECTOR, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }
    if url.scheme == "https":
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    return [cluster]


def tracing(settings: EdgeSettings) -> dict[str, Json]:
    """For the connection manager: one span for the call as it came and one for the call to the service, whose child the service's is."""
    if settings.otlp_endpoint is None:
        return {}
    detector: Json = {
        "@type": f"{_TYPE}envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig",
        "attributes": {"service.namespace": "signalbox"},
    }
    provider: Json = {
        "@type": f"{_TYPE}envoy.config.trace.v3.OpenTelemetryConfig",
        "grpc_service": {"envoy_grpc": {"cluster_name": COLLECTOR}, "timeout": "1s"},
        "service_name": "envoy",
        "resource_detectors": [{"name": "envoy.tracers.opentelemetry.resource_detectors.static_config", "typed_config": detector}],
    }
    return {
        "tracing": {
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": provider},
            # Of calls without a traceparent; those that bring one are as it says.
            "random_sampling": {"value": 100.0 * settings.sampling_ratio},
            "spawn_upstream_span": True,
        }
    }


def never_traced() -> dict[str, Json]:
    """For a route: a stream's span would be as long as the stream."""
    none: Json = {"numerator": 0}
    return {"tracing": {"client_sampling": none, "random_sampling": none, "overall_sampling": none}}
