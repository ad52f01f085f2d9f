"""The product's processes behind the edge, without feeds: what a bench needs to load it itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from services.prices.sessions import SessionTable
from services.runtime.kafka_admin import ensure_topics
from services.runtime.topics import DEFAULT_PARTITIONS
from tests.bench.processes import Process
from tests.integration.edge_servers import edge_settings, running_envoy
from tests.ports import free_ports
from tests.servers import new_broker

PARTITIONS = DEFAULT_PARTITIONS
#: Module of each process by its name; the setting of its metrics port is made of the name.
MODULES = {
    "prices": "services.prices",
    "prices-worker": "services.prices.worker",
    "analysis-worker": "services.analysis.worker",
    "gateway": "gateway",
}


@dataclass(frozen=True, slots=True)
class Stack:
    """Running processes."""

    bootstrap: str
    """Kafka's address."""
    edge: str
    """HOST:PORT of Envoy."""
    processes: dict[str, Process]
    """Those of MODULES that were asked for."""
    envoy_pid: int

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds of each process since its start."""
        envoy = psutil.Process(self.envoy_pid).cpu_times()
        return {name: process.usage().cpu_seconds for name, process in self.processes.items()} | {"envoy": envoy.user + envoy.system}


@contextmanager
def running_stack(home: Path, names: tuple[str, ...] = tuple(MODULES)) -> Iterator[Stack]:
    """A broker, the named processes and Envoy, all ready, on free ports; stopped at the end.

    Symbols of its market trade around the clock.
    """
    tables = home / "tables"
    tables.mkdir(parents=True)
    SessionTable.utc_only().save(tables / "sessions.npz")
    settings = edge_settings()
    own = {"PRICES": settings.prices_port, "GATEWAY": settings.gateway_port, "GATEWAY_WEB": settings.gateway_web_port, "GATEWAY_WS": settings.gateway_ws_port}
    metrics = dict(zip(names, free_ports(len(names)), strict=True))
    with ExitStack() as stack:
        broker = stack.enter_context(new_broker(home, lasting=True))
        ensure_topics(broker.bootstrap, PARTITIONS)
        env = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap, "SIGNALBOX_HOME": str(home), "SIGNALBOX_PARTITIONS": str(PARTITIONS)}
        env |= {f"SIGNALBOX_{name}_PORT": str(port) for name, port in own.items()}
        env |= {f"SIGNALBOX_{name.upper().replace('-', '_')}_METRICS_PORT": str(port) for name, port in metrics.items()}
        processes = {name: stack.enter_context(Process(MODULES[name], env, metrics[name], home / f"{name}.log")) for name in names}
        (home / "envoy").mkdir()
        envoy = stack.enter_context(running_envoy(home / "envoy", settings))
        yield Stack(broker.bootstrap, envoy.address, processes, envoy.child.pid)
