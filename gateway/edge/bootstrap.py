"""Envoy's bootstrap: what cannot change while it runs."""

from pathlib import Path

from gateway.edge.clusters import config_source
from gateway.edge.files import Json
from gateway.edge.listeners import metrics_listener
from gateway.edge.settings import EdgeSettings
from gateway.edge.tracing import collector_clusters

_TYPE = "type.googleapis.com/"
_MONITORS = "envoy.extensions.resource_monitors"
_HEAP = "envoy.resource_monitors.fixed_heap"


def bootstrap(settings: EdgeSettings, directory: Path) -> Json:
    """The whole bootstrap document; everything else is in files under `directory`."""
    return {
        "node": {"id": "signalbox-edge", "cluster": "signalbox"},
        "admin": {"address": _admin_address(settings)},
        "stats_flush_interval": "1s",
        "dynamic_resources": {"lds_config": config_source(directory, "lds.json"), "cds_config": config_source(directory, "cds.json")},
        "static_resources": {"listeners": [metrics_listener(settings)], "clusters": [_admin_cluster(settings), *collector_clusters(settings)]},
        "overload_manager": _overload_manager(settings),
    }


def _admin_address(settings: EdgeSettings) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": settings.envoy_admin_port}}


def _admin_cluster(settings: EdgeSettings) -> Json:
    return {
        "name": "envoy_admin",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "envoy_admin", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _admin_address(settings)}}]}]},
    }


def _overload_manager(settings: EdgeSettings) -> Json:
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            _monitor(_HEAP, "fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=settings.max_heap_bytes),
            _monitor(
                "envoy.resource_monitors.global_downstream_max_connections",
                "downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=settings.max_connections,
            ),
        ],
        "actions": [_action("envoy.overload_actions.shrink_heap", 0.90), _action("envoy.overload_actions.stop_accepting_requests", 0.98)],
    }


def _monitor(name: str, message: str, **config: Json) -> Json:
    return {"name": name, "typed_config": {"@type": f"{_TYPE}{_MONITORS}.{message}", **config}}


def _action(name: str, heap_share: float) -> Json:
    return {"name": name, "triggers": [{"name": _HEAP, "threshold": {"value": heap_share}}]}
