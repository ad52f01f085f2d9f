"""Envoy on free ports with our configuration, and small real upstreams for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.child import Child
from gateway.edge.admin import Admin
from gateway.edge.process import envoy_command
from gateway.edge.render import render
from gateway.edge.settings import EdgeSettings
from tests.ports import free_ports

#: Environment variables of the ports in EdgeSettings, in the order of `edge_settings`.
_PORTS = (
    *("edge_port", "envoy_admin_port", "envoy_metrics_port"),
    *("prices_port", "analysis_port", "news_port", "reports_port", "gateway_port", "gateway_web_port", "gateway_ws_port"),
)


def edge_settings() -> EdgeSettings:
    """Settings with a free port for everything."""
    return EdgeSettings.model_validate(dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True)))


@dataclass(frozen=True, slots=True)
class RunningEnvoy:
    """An Envoy that has taken its configuration."""

    settings: EdgeSettings
    directory: Path
    versions: dict[str, str]
    child: Child

    @property
    def admin(self) -> Admin:
        return Admin(self.settings.envoy_admin_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.edge_port}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.settings.edge_port}"


@contextmanager
def running_envoy(directory: Path, settings: EdgeSettings) -> Iterator[RunningEnvoy]:
    """Render, start, wait until the configuration is in force, stop."""
    versions = render(settings, directory)
    child = Child.start("envoy", envoy_command(directory), log_path=directory / "envoy.log", env=dict(os.environ))
    envoy = RunningEnvoy(settings, directory, versions, child)

    def why_not() -> str | None:
        try:
            return None if envoy.admin.is_ready() and envoy.admin.took(versions) else "its configuration is not in force"
        except OSError as error:
            return f"its admin does not answer: {error}"

    try:
        child.wait_ready(why_not, 20)
        yield envoy
    finally:
        child.stop()
