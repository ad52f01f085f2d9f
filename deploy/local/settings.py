"""Where the stack lives and which ports it takes; everything by environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import SettingError
from deploy.local.ports import LOOPBACK, PortUse, is_free
from services.runtime.setting_types import IPV4_EXPECTED, asked_at, is_ipv4

#: The clone this code runs from.
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Port:
    """A port with its environment variable, its default and what listens on it."""

    setting: str
    default: int
    what: str


#: Every port of the stack, by the name used in `StackSettings.ports`.
PORTS: Mapping[str, Port] = {
    "edge": Port("SIGNALBOX_EDGE_PORT", 8080, "the edge: page, REST, gRPC, WebSocket"),
    "envoy_admin": Port("SIGNALBOX_ENVOY_ADMIN_PORT", 9901, "Envoy's admin page"),
    "envoy_metrics": Port("SIGNALBOX_ENVOY_METRICS_PORT", 9480, "Envoy's metrics"),
    "gateway": Port("SIGNALBOX_GATEWAY_PORT", 50050, "gateway, gRPC"),
    "gateway_web": Port("SIGNALBOX_GATEWAY_WEB_PORT", 50060, "gateway, web page"),
    "gateway_ws": Port("SIGNALBOX_GATEWAY_WS_PORT", 50061, "gateway, WebSocket"),
    "prices": Port("SIGNALBOX_PRICES_PORT", 50051, "prices, gRPC"),
    "analysis": Port("SIGNALBOX_ANALYSIS_PORT", 50052, "analysis, gRPC"),
    "prices_metrics": Port("SIGNALBOX_PRICES_METRICS_PORT", 9464, "prices, metrics"),
    "analysis_metrics": Port("SIGNALBOX_ANALYSIS_METRICS_PORT", 9465, "analysis, metrics"),
    "gateway_metrics": Port("SIGNALBOX_GATEWAY_METRICS_PORT", 9466, "gateway, metrics"),
    "prices_worker_metrics": Port("SIGNALBOX_PRICES_WORKER_METRICS_PORT", 9467, "prices-worker, metrics"),
    "analysis_worker_metrics": Port("SIGNALBOX_ANALYSIS_WORKER_METRICS_PORT", 9468, "analysis-worker, metrics"),
    "feeds_metrics": Port("SIGNALBOX_FEEDS_METRICS_PORT", 9469, "feeds, metrics"),
    "news": Port("SIGNALBOX_NEWS_PORT", 50053, "news, gRPC"),
    "reports": Port("SIGNALBOX_REPORTS_PORT", 50054, "reports, gRPC"),
    "reports_metrics": Port("SIGNALBOX_REPORTS_METRICS_PORT", 9470, "reports, metrics"),
    "reports_worker_metrics": Port("SIGNALBOX_REPORTS_WORKER_METRICS_PORT", 9471, "reports-worker, metrics"),
    "scheduler_metrics": Port("SIGNALBOX_SCHEDULER_METRICS_PORT", 9472, "scheduler, metrics"),
    "news_metrics": Port("SIGNALBOX_NEWS_METRICS_PORT", 9473, "news, metrics"),
    "news_worker_metrics": Port("SIGNALBOX_NEWS_WORKER_METRICS_PORT", 9474, "news-worker, metrics"),
    "prices_jobs_metrics": Port("SIGNALBOX_PRICES_JOBS_METRICS_PORT", 9475, "prices-jobs, metrics"),
    "analysis_jobs_metrics": Port("SIGNALBOX_ANALYSIS_JOBS_METRICS_PORT", 9476, "analysis-jobs, metrics"),
    "kafka": Port("SIGNALBOX_KAFKA_PORT", 19092, "embedded Kafka"),
    "kafka_controller": Port("SIGNALBOX_KAFKA_CONTROLLER_PORT", 19093, "embedded Kafka's controller"),
    "valkey": Port("SIGNALBOX_VALKEY_PORT", 16379, "embedded Valkey"),
}

_KAFKA_PORTS = ("kafka", "kafka_controller")
_VALKEY_PORTS = ("valkey",)
#: Whatever SIGNALBOX_HOST says.
_AT_LOOPBACK = {*_KAFKA_PORTS, *_VALKEY_PORTS, "envoy_admin"}

_ADDRESSED = ("prices", "analysis", "news", "reports", "gateway")
#: What `child_environment` sets beside the ports and nobody else has to.
SET_FOR_PROCESSES = frozenset({*(f"SIGNALBOX_{name.upper()}_ADDRESS" for name in _ADDRESSED), "SIGNALBOX_SUPERVISOR_STATE"})


@dataclass(frozen=True, slots=True)
class StackSettings:
    """One stack: its folder, its ports, and the servers it uses instead of embedded ones."""

    home: Path
    """The data folder (SIGNALBOX_HOME)."""

    ports: Mapping[str, int]
    """Port by the names of PORTS; all different."""

    kafka: str | None
    """KAFKA_BOOTSTRAP_SERVERS; None: the embedded broker is started."""

    redis: str | None
    """REDIS_URL; None: the embedded Valkey is started."""

    host: str = LOOPBACK
    """IPv4 address that our own processes listen on (SIGNALBOX_HOST); embedded servers and Envoy's admin are always at loopback."""

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> StackSettings:
        """Read and check the settings of the stack itself. Raises SettingError naming every wrong one."""
        env = os.environ if env is None else env
        texts = {name: env.get(port.setting) or str(port.default) for name, port in PORTS.items()}
        ports = {name: int(text) for name, text in texts.items() if text.isdecimal() and 0 < int(text) < 65_536}
        problems = [f"{PORTS[name].setting}: was {text!r}; expected: a port from 1 to 65535" for name, text in texts.items() if name not in ports]
        settings = cls(
            home=Path(env.get("SIGNALBOX_HOME") or REPOSITORY / ".signalbox").absolute(),
            ports=ports,
            kafka=env.get("KAFKA_BOOTSTRAP_SERVERS") or None,
            redis=env.get("REDIS_URL") or None,
            host=env.get("SIGNALBOX_HOST") or LOOPBACK,
        )
        problems += settings._wrong_host()
        problems += settings._shared_ports()
        if problems:
            raise SettingError(*problems)
        return settings

    @property
    def bootstrap(self) -> str:
        """Kafka's address for every process."""
        return self.kafka or f"127.0.0.1:{self.ports['kafka']}"

    @property
    def redis_url(self) -> str:
        """Redis or Valkey's address for every process."""
        return self.redis or f"redis://127.0.0.1:{self.ports['valkey']}/0"

    @property
    def asked_host(self) -> str:
        """Where our own processes are asked."""
        return asked_at(self.host)

    @property
    def edge(self) -> str:
        """host:port of the edge."""
        return f"{self.asked_host}:{self.ports['edge']}"

    @property
    def page_url(self) -> str:
        """Where a person looks."""
        return f"http://{self.edge}/"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """The lock, the supervisor's log and the state it publishes."""
        return self.home / "run"

    @property
    def state_path(self) -> Path:
        """What the supervisor publishes of its processes."""
        return self.run / "state.json"

    def used_ports(self) -> list[PortUse]:
        """The ports this stack will listen on; those of servers that are not embedded are left out."""
        skipped = {*(_KAFKA_PORTS if self.kafka else ()), *(_VALKEY_PORTS if self.redis else ())}
        named = {name: port for name, port in PORTS.items() if name in self.ports and name not in skipped}
        return [PortUse(self.ports[name], port.what, port.setting, LOOPBACK if name in _AT_LOOPBACK else self.host) for name, port in named.items()]

    def child_environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of every process: ours, with each setting said explicitly."""
        return {
            # Here the logs are read by a person; whoever collects them asks for JSON.
            "SIGNALBOX_LOG_FORMAT": "text",
            **(os.environ if env is None else env),
            **{port.setting: str(self.ports[name]) for name, port in PORTS.items()},
            # Where services find each other; in a cluster these are names and not ports.
            **{f"SIGNALBOX_{name.upper()}_ADDRESS": f"{self.asked_host}:{self.ports[name]}" for name in _ADDRESSED},
            "SIGNALBOX_HOME": str(self.home),
            "SIGNALBOX_SUPERVISOR_STATE": str(self.state_path),
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "REDIS_URL": self.redis_url,
            "PYTHONUNBUFFERED": "1",
        }

    def _wrong_host(self) -> list[str]:
        if not is_ipv4(self.host):
            return [f"SIGNALBOX_HOST: was {self.host!r}; expected: {IPV4_EXPECTED}"]
        # Port 0 is any free one: only the address can be what is wrong.
        return [] if is_free(0, self.host) else [f"SIGNALBOX_HOST: was {self.host!r}; expected: an address of this machine"]

    def _shared_ports(self) -> list[str]:
        seen: dict[int, str] = {}
        problems: list[str] = []
        for use in self.used_ports():
            if use.port in seen:
                problems.append(f"{use.setting}: was '{use.port}'; expected: a port of its own, but {seen[use.port]} is the same")
            seen.setdefault(use.port, use.setting)
        return problems
