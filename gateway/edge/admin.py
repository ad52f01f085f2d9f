"""Asks a running Envoy whether it took the configuration. A refused update is an error, never a log line only."""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.edge.tracing import COLLECTOR

_TIMEOUT_S = 2.0

#: Prefix of the statistics of each resource file: `<prefix>.update_rejected`, `.update_failure`, `.version_text`.
_PREFIXES: Mapping[str, str] = {
    "lds.json": "listener_manager.lds",
    "cds.json": "cluster_manager.cds",
    "rds.json": "http.edge.rds.edge",
}

#: Clusters of the bootstrap, which have no file.
_STATIC = {"envoy_admin", COLLECTOR}


class EnvoyRefused(Exception):
    """Envoy did not take a file; it goes on with the configuration it had."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"Envoy refused {file}: {reason}")
        self.file, self.reason = file, reason


@dataclass(frozen=True, slots=True)
class Admin:
    """Envoy's admin interface, on 127.0.0.1."""

    port: int
    """Its port."""

    def is_ready(self) -> bool:
        """Whether Envoy serves. Raises OSError when the admin interface does not answer."""
        return self._get("/ready").strip() == "LIVE"

    def rejections(self) -> dict[str, int]:
        """Updates refused since Envoy's start, by resource file. Raises OSError."""
        stats = self._stats("update_(rejected|failure)")
        return {file: _refusals(stats, prefix) for file, prefix in _file_prefixes(stats).items()}

    def versions(self) -> dict[str, str]:
        """The version in force, by resource file; a file that was not taken yet is absent. Raises OSError."""
        stats = self._stats("version_text")
        return {file: str(stats[f"{prefix}.version_text"]) for file, prefix in _file_prefixes(stats).items() if stats.get(f"{prefix}.version_text")}

    def took(self, versions: Mapping[str, str], rejected_before: Mapping[str, int] | None = None) -> bool:
        """Whether the versions that `render` returned are in force; False means not yet.

        rejected_before: `rejections()` from before the change; None for a fresh Envoy.
        Raises EnvoyRefused when an update was refused, OSError when the admin interface does not answer.
        """
        before, in_force = rejected_before or {}, self.versions()
        missing = [file for file, version in versions.items() if in_force.get(file) != version]
        counts = self.rejections() if missing else {}
        for file in missing:
            if counts.get(file, 0) > before.get(file, 0):
                raise EnvoyRefused(file, self._reason(file))
        return not missing

    def _reason(self, file: str) -> str:
        details = sorted(set(_error_details(json.loads(self._get("/config_dump?include_eds")))))
        return "; ".join(details) or f"its log says why; the configuration before {file} is still in force"

    def _stats(self, which: str) -> dict[str, int | str]:
        answer = json.loads(self._get(f"/stats?format=json&type=All&filter={which}"))
        return {stat["name"]: stat["value"] for stat in answer["stats"] if "name" in stat}

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=_TIMEOUT_S) as answer:
            body: bytes = answer.read()
        return body.decode()


def _file_prefixes(stats: Mapping[str, object]) -> dict[str, str]:
    endpoints = {name.split(".")[1] for name in stats if name.startswith("cluster.") and name.count(".") == 2}
    return {**_PREFIXES, **{f"eds-{name}.json": f"cluster.{name}" for name in endpoints - _STATIC}}


def _refusals(stats: Mapping[str, int | str], prefix: str) -> int:
    # A file whose JSON does not fit its message counts as `failure`, one that Envoy understood and would not have as `rejected`.
    return sum(int(stats.get(f"{prefix}.update_{kind}", 0)) for kind in ("rejected", "failure"))


def _error_details(node: object) -> list[str]:
    if isinstance(node, list):
        return [detail for each in node for detail in _error_details(each)]
    if not isinstance(node, dict):
        return []
    state = node.get("error_state")
    here = [str(state["details"])] if isinstance(state, dict) and "details" in state else []
    return here + [detail for each in node.values() for detail in _error_details(each)]
