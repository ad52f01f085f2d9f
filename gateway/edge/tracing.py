"""Envoy's spans: the first of a unary call's, sent to the collector that our own processes send theirs to."""

from urllib.parse import urlsplit

from gateway.edge.files import Json
from gateway.edge.settings import EdgeSettings

COLLECTOR = "otel_collector"
"""Name of the collector's cluster."""

_TYPE = "type.googleapis.com/"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_OTLP_PORT = 4317
_FILTERS = "envoy.extensions.filters.http"
_RESTORE = "envoy.filters.http.header_mutation"
#: Keeps a stream's own traceparent for the last filter.
_KEPT = "x-client-traceparent"


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
        "sampler": _sampler(settings.sampling_ratio),
        "resource_detectors": [{"name": "envoy.tracers.opentelemetry.resource_detectors.static_config", "typed_config": detector}],
    }
    return {
        "tracing": {
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": provider},
            # The sampler decides. Since Envoy 1.39 what is left out here is not recorded whatever a client's traceparent says.
            "random_sampling": {"value": 100.0},
            "spawn_upstream_span": True,
        }
    }


def _sampler(ratio: float) -> Json:
    """A part of the calls without a traceparent; those that bring one are as it says."""
    samplers = "envoy.tracers.opentelemetry.samplers"
    configs = f"{_TYPE}envoy.extensions.tracers.opentelemetry.samplers.v3"
    percentage: Json = {"numerator": round(ratio * 1e6), "denominator": "MILLION"}
    by_ratio: Json = {"@type": f"{configs}.TraceIdRatioBasedSamplerConfig", "sampling_percentage": percentage}
    wrapped: Json = {"name": f"{samplers}.trace_id_ratio_based", "typed_config": by_ratio}
    return {"name": f"{samplers}.parent_based", "typed_config": {"@type": f"{configs}.ParentBasedSamplerConfig", "wrapped_sampler": wrapped}}


def before_upstream(settings: EdgeSettings) -> dict[str, Json]:
    """For the router: a filter for what `never_traced` asks of a route, after Envoy has written its own traceparent."""
    if settings.otlp_endpoint is None:
        return {}
    restore: Json = {"name": _RESTORE, "typed_config": {"@type": f"{_TYPE}{_FILTERS}.header_mutation.v3.HeaderMutation"}}
    codec: Json = {"name": "envoy.filters.http.upstream_codec", "typed_config": {"@type": f"{_TYPE}{_FILTERS}.upstream_codec.v3.UpstreamCodec"}}
    return {"upstream_http_filters": [restore, codec]}


def never_traced(settings: EdgeSettings) -> dict[str, Json]:
    """For a route of streams, whose span would be as long as the stream: the service gets the client's traceparent as it was sent, or none.

    Not sampling is not enough. Envoy then still writes a traceparent, which says that the trace is not recorded, and the service must believe it.
    """
    if settings.otlp_endpoint is None:
        return {}
    none: Json = {"numerator": 0}
    keep: Json = {"header": {"key": _KEPT, "value": "%REQ(traceparent)%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {
        "tracing": {"client_sampling": none, "random_sampling": none, "overall_sampling": none},
        "request_headers_to_add": [keep],
        "typed_per_filter_config": {_RESTORE: {"@type": f"{_TYPE}{_FILTERS}.header_mutation.v3.HeaderMutationPerRoute", "mutations": _restored()}},
    }


def _restored() -> Json:
    # A header without a value is not written.
    own: Json = {"append": {"header": {"key": "traceparent", "value": f"%REQ({_KEPT})%"}}}
    return {"request_mutations": [{"remove": "traceparent"}, own, {"remove": _KEPT}]}
