"""Listeners and their HTTP filters."""

import base64
import socket
from pathlib import Path

from gateway.descriptors import descriptor_set, services
from gateway.edge.clusters import config_source, socket_option
from gateway.edge.files import Json
from gateway.edge.routes import ROUTES
from gateway.edge.settings import EdgeSettings
from gateway.edge.tracing import before_upstream, tracing

_TYPE = "type.googleapis.com/"
_FILTERS = "envoy.extensions.filters.http"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

#: A transcoded answer is held whole; without a limit of its own the connection's buffer (512 KiB) would be the limit and a bigger answer a 500.
_MAX_JSON_BYTES = 8 << 20


def edge_listener(settings: EdgeSettings, directory: Path) -> Json:
    """The listener for clients."""
    return {
        "@type": f"{_TYPE}envoy.config.listener.v3.Listener",
        "name": "edge",
        "address": _address(settings.host, settings.edge_port),
        "per_connection_buffer_limit_bytes": 512 << 10,
        "socket_options": [socket_option(socket.SO_SNDBUF, 256 << 10)],
        "filter_chains": [{"filters": [_filter("envoy.filters.network.http_connection_manager", _edge_manager(settings, directory))]}],
    }


def metrics_listener(settings: EdgeSettings) -> Json:
    """A listener for Prometheus: one path of the admin interface, and no other."""
    only: Json = {"match": {"path": "/stats/prometheus", "headers": [_get_only()]}, "route": {"cluster": "envoy_admin", "timeout": "10s"}}
    manager: Json = {
        "@type": f"{_TYPE}{_HCM}",
        "stat_prefix": "metrics",
        "route_config": {"name": "metrics", "virtual_hosts": [{"name": "metrics", "domains": ["*"], "routes": [only]}]},
        "http_filters": [_router()],
    }
    return {
        "name": "metrics",
        "address": _address(settings.host, settings.envoy_metrics_port),
        "filter_chains": [{"filters": [_filter("envoy.filters.network.http_connection_manager", manager)]}],
        # The overload manager must not hide the numbers that explain the overload.
        "bypass_overload_manager": True,
    }


def _edge_manager(settings: EdgeSettings, directory: Path) -> dict[str, Json]:
    return {
        "@type": f"{_TYPE}{_HCM}",
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "use_remote_address": True,
        "always_set_request_id_in_response": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "server_name": "signalbox",
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        # A client that never finishes its headers holds a connection for nothing.
        "request_headers_timeout": "10s",
        "common_http_protocol_options": {"idle_timeout": "3600s", "headers_with_underscores_action": "REJECT_REQUEST"},
        "http2_protocol_options": {"max_concurrent_streams": 1000, "initial_stream_window_size": 256 << 10, "initial_connection_window_size": 1 << 20},
        "rds": {"route_config_name": ROUTES, "config_source": config_source(directory, "rds.json")},
        "http_filters": [_cors(), _grpc_web(), _compressor(), _transcoder(), _grpc_stats(), _router(**before_upstream(settings))],
        "local_reply_config": _local_replies(),
        **tracing(settings),
    }


def _cors() -> Json:
    return _filter("envoy.filters.http.cors", {"@type": f"{_TYPE}{_FILTERS}.cors.v3.Cors"})


def _grpc_web() -> Json:
    return _filter("envoy.filters.http.grpc_web", {"@type": f"{_TYPE}{_FILTERS}.grpc_web.v3.GrpcWeb"})


def _compressor() -> Json:
    gzip: Json = {"@type": f"{_TYPE}envoy.extensions.compression.gzip.compressor.v3.Gzip", "compression_level": "COMPRESSION_LEVEL_4"}
    return _filter(
        "envoy.filters.http.compressor",
        {
            "@type": f"{_TYPE}{_FILTERS}.compressor.v3.Compressor",
            "response_direction_config": {"common_config": {"min_content_length": 1024}},
            "compressor_library": _filter("gzip", gzip),
        },
    )


def _transcoder() -> Json:
    return _filter(
        "envoy.filters.http.grpc_json_transcoder",
        {
            "@type": f"{_TYPE}{_FILTERS}.grpc_json_transcoder.v3.GrpcJsonTranscoder",
            # Inline: a changed contract is then a changed listener, which Envoy takes over like any other.
            "proto_descriptor_bin": base64.b64encode(descriptor_set()).decode(),
            "services": [service.full_name for service in services()],
            "convert_grpc_status": True,
            # Forms and most clients write a space as a plus.
            "query_param_unescape_plus": True,
            "case_insensitive_enum_parsing": True,
            "max_request_body_size": _MAX_JSON_BYTES,
            "max_response_body_size": _MAX_JSON_BYTES,
            "print_options": {"always_print_primitive_fields": True, "preserve_proto_field_names": True},
            "request_validation_options": {"reject_unknown_query_parameters": True, "reject_binding_body_field_collisions": True},
        },
    )


def _grpc_stats() -> Json:
    # gRPC errors are HTTP 200: without this filter they are in no statistic.
    return _filter(
        "envoy.filters.http.grpc_stats",
        {"@type": f"{_TYPE}{_FILTERS}.grpc_stats.v3.FilterConfig", "individual_method_stats_allowlist": _all_methods()},
    )


def _all_methods() -> Json:
    return {"services": [{"name": service.full_name, "method_names": [method.name for method in service.methods]} for service in services()]}


def _router(**config: Json) -> Json:
    return _filter("envoy.filters.http.router", {"@type": f"{_TYPE}{_FILTERS}.router.v3.Router", **config})


def _local_replies() -> Json:
    """Envoy's own answers (no upstream, overload) as problem documents; gRPC clients get a gRPC status regardless."""
    body: Json = {"type": "about:blank", "status": "%RESPONSE_CODE%", "detail": "%LOCAL_REPLY_BODY%", "reason": "%RESPONSE_CODE_DETAILS%"}
    return {"body_format": {"json_format": body, "content_type": "application/problem+json"}}


def _filter(name: str, config: Json) -> Json:
    return {"name": name, "typed_config": config}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _get_only() -> Json:
    return {"name": ":method", "string_match": {"exact": "GET"}}
