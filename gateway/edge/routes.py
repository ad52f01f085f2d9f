"""Routes: which path goes where, and what may be sent again."""

from google.protobuf.descriptor import MethodDescriptor

from gateway.descriptors import is_read, is_stream, services
from gateway.edge.files import Json
from gateway.edge.settings import EdgeSettings
from gateway.edge.tracing import never_traced

_TYPE = "type.googleapis.com/"

ROUTES = "edge"
"""Name of the route configuration; admin statistics are under `http.edge.rds.edge.`."""

#: Package prefix of a service to the cluster that serves it.
_CLUSTERS = {
    "signalbox.prices.v1": "prices",
    "signalbox.analysis.v1": "analysis",
    "signalbox.news.v1": "news",
    "signalbox.reports.v1": "reports",
    "google.longrunning": "reports",
    "signalbox.edge.v1": "gateway",
}

#: Browsers on this machine only.
_LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?"


def route_configuration(settings: EdgeSettings) -> Json:
    """The one route configuration of the edge."""
    untraced = never_traced(settings)
    grpc = [*_reads(), *_streams(untraced), *_packages(), *_shared_grpc(untraced)]
    return {
        "@type": f"{_TYPE}envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "validate_clusters": True,
        "virtual_hosts": [
            {
                "name": "edge",
                "domains": ["*"],
                "routes": [*grpc, *_websocket(untraced), _not_found("/v1/"), _other_grpc(), _page()],
                "typed_per_filter_config": {"envoy.filters.http.cors": _cors()},
            }
        ],
    }


def _reads() -> list[Json]:
    return [_method_route(method, retry_policy=_retry_reads()) for method in _methods() if is_read(method)]


def _streams(untraced: dict[str, Json]) -> list[Json]:
    return [{**_method_route(method), **untraced} for method in _methods() if is_stream(method)]


def _methods() -> list[MethodDescriptor]:
    return [method for service in services() for method in service.methods]


def _method_route(method: MethodDescriptor, **action: Json) -> dict[str, Json]:
    service = method.containing_service
    name = f"{service.full_name}/{method.name}"
    return _route({"path": f"/{name}"}, _CLUSTERS[service.file.package], name, **action)


def _packages() -> list[Json]:
    return [_route({"prefix": f"/{package}."}, cluster) for package, cluster in _CLUSTERS.items()]


def _shared_grpc(untraced: dict[str, Json]) -> list[Json]:
    """Reflection and health of all services, which the gateway answers for all. Streams and noise: neither begins a trace."""
    return [{**_route({"prefix": prefix}, "gateway"), **untraced} for prefix in ("/grpc.reflection.", "/grpc.health.v1.")]


def _websocket(untraced: dict[str, Json]) -> list[Json]:
    websocket: Json = {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
    upgraded = {**_route({"path": "/v1/stream", "headers": [websocket]}, "stream", upgrade_configs=[{"upgrade_type": "websocket"}]), **untraced}
    detail = "/v1/stream is a WebSocket: connect to it with ws:// and the header Upgrade: websocket"
    return [upgraded, _answer({"path": "/v1/stream"}, 426, detail)]


def _not_found(prefix: str) -> Json:
    return _answer({"prefix": prefix}, 404, "no such path or query parameter; the paths are in the protos (google.api.http)")


def _other_grpc() -> Json:
    # An unknown service must answer UNIMPLEMENTED; the page's server would answer with HTML.
    return _route({"prefix": "/", "grpc": {}}, "gateway")


def _page() -> Json:
    return _route({"prefix": "/"}, "web")


def _route(match: Json, cluster: str, operation: str = "", **action: Json) -> dict[str, Json]:
    # Streams live as long as they like; a client's grpc-timeout is honoured, without a cap.
    limits: dict[str, Json] = {"timeout": "0s", "idle_timeout": "0s", "max_stream_duration": {"grpc_timeout_header_max": "0s"}}
    # The name of its span, when there is one.
    decorator: Json = {"operation": operation or cluster, "propagate": False}
    return {"match": match, "route": {"cluster": cluster, **limits, **action}, "decorator": decorator}


def _retry_reads() -> Json:
    return {
        "retry_on": "connect-failure,refused-stream,reset-before-request,unavailable",
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.250s"},
    }


def _answer(match: Json, status: int, detail: str) -> Json:
    # The listener makes a problem document of it, as of every answer that is Envoy's own.
    return {"match": match, "direct_response": {"status": status, "body": {"inline_string": detail}}}


def _cors() -> Json:
    return {
        "@type": f"{_TYPE}envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"safe_regex": {"regex": _LOCAL_ORIGIN}}],
        "allow_methods": "GET, POST, DELETE, OPTIONS",
        "allow_headers": "content-type, x-grpc-web, x-user-agent, grpc-timeout, x-request-id, traceparent, tracestate",
        "expose_headers": "grpc-status, grpc-message, grpc-status-details-bin, x-request-id",
        "max_age": "86400",
    }
