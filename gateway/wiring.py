"""The only place where the parts of the gateway are put together."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import aiohttp
import redis.asyncio
from signalbox.edge.v1 import system_service_pb2_grpc

from gateway import probes, system
from gateway.descriptors import services
from gateway.grpc_server import AllHealth, start_grpc_server
from gateway.grpc_stream import SERVICE as SUBSCRIPTIONS
from gateway.grpc_stream import SubscriptionService, add_subscription_service
from gateway.hub.hub import HEARTBEAT_S, Hub
from gateway.hub.intake import Intake
from gateway.hub.source import Source
from gateway.hub.warm_up import warm_up
from gateway.settings import GatewaySettings
from gateway.web_server import start_web_server
from gateway.ws import start_websocket_server
from services.runtime.clock import Clock, SystemClock
from services.runtime.grpc_client import channel
from services.runtime.grpc_handlers import Handlers
from services.runtime.kafka import BrokerCheck, make_producer
from services.runtime.lifecycle import Lifecycle
from services.runtime.logging import get_logger
from services.runtime.pauses import shorten_pauses
from services.runtime.setting_types import asked_at
from services.runtime.topics import BARS

_log = get_logger("gateway")

_PROBE_TIMEOUT = aiohttp.ClientTimeout(total=1.2)
#: Clients come back spread over this time, so that a restart is not a stampede.
_RECONNECT_MS = (250, 1_000)


async def main(settings: GatewaySettings, lifecycle: Lifecycle) -> None:
    """Run until told to stop."""
    warm_up()
    clock = SystemClock()
    hub = Hub(clock, asyncio.get_running_loop().call_later, settings.limits(), flush_interval_s=settings.hub_flush_ms / 1e3)
    intake = Intake(hub, clock, rows=settings.hub_rows)
    source = Source(settings.kafka_bootstrap_servers, intake.take, lifecycle.fail, hub.wants, clock)
    gateway = _Gateway(settings, lifecycle, hub, intake, source, clock)
    await gateway.start()
    await lifecycle.stopping.wait()
    await _say_goodbye(hub, clock, settings.drain_seconds)


@dataclass(frozen=True, slots=True)
class _Gateway:
    settings: GatewaySettings
    lifecycle: Lifecycle
    hub: Hub
    intake: Intake
    source: Source
    clock: Clock

    async def start(self) -> None:
        """Listen first, so that a port in use is found at once and the state can be asked for; then read what is there."""
        self.lifecycle.ops.add_ready_check("hub", self.source.check_ready)
        self.lifecycle.ops.add_live_check("hub", self.source.check_alive)
        broker = BrokerCheck(make_producer(self.settings.kafka_bootstrap_servers), BARS.name)
        self.lifecycle.ops.add_ready_check("kafka", broker)
        self.lifecycle.on_stop(self.source.stop)
        await self._start_grpc()
        await self._start_doors()
        self.lifecycle.spawn(_beat(self.hub, self.clock), "heartbeat")
        self.lifecycle.spawn(self._load(), "load")

    async def _load(self) -> None:
        await self.source.start()
        shorten_pauses()
        self.intake.is_live = True
        _log.info("ready", grpc=self.settings.gateway_port, web=self.settings.web_port, websocket=self.settings.ws_port)

    async def _start_grpc(self) -> None:
        state = system.SystemService(self._probes(), self.hub, self.intake, self.clock, version("signalbox"))
        subscriptions = SubscriptionService(self.hub, self.source.check_ready)
        adders: list[Callable[[Handlers], None]] = [
            partial(add_subscription_service, subscriptions),
            partial(system_service_pb2_grpc.add_SystemServiceServicer_to_server, state),
        ]
        server = await start_grpc_server(self.settings.host, self.settings.gateway_port, adders, self._health())
        self.lifecycle.on_stop(partial(server.stop, 1.0))

    async def _start_doors(self) -> None:
        sockets = await start_websocket_server(self.hub, self.settings.host, self.settings.ws_port, self.source.check_ready)
        self.lifecycle.on_stop(partial(_close, sockets))
        page = await start_web_server(self.settings.host, self.settings.web_port)
        self.lifecycle.on_stop(page.cleanup)

    def _probes(self) -> dict[str, probes.Probe]:
        settings = self.settings
        session = aiohttp.ClientSession(timeout=_PROBE_TIMEOUT)
        self.lifecycle.on_stop(session.close)
        cache = redis.asyncio.Redis.from_url(settings.redis_url, socket_timeout=1.0, socket_connect_timeout=1.0)
        self.lifecycle.on_stop(cache.aclose)
        python = partial(probes.python_process, session, asked_at(settings.host), clock=self.clock)
        asked = {
            "feeds": python(settings.feeds_metrics_port),
            "prices": python(settings.prices_metrics_port),
            "prices-worker": python(settings.prices_worker_metrics_port),
            "analysis": python(settings.analysis_metrics_port),
            "analysis-worker": python(settings.analysis_worker_metrics_port),
            "news": python(settings.news_metrics_port),
            "news-worker": python(settings.news_worker_metrics_port),
            "reports": python(settings.reports_metrics_port),
            "reports-worker": python(settings.reports_worker_metrics_port),
            "scheduler": python(settings.scheduler_metrics_port),
            "prices-jobs": python(settings.prices_jobs_metrics_port),
            "analysis-jobs": python(settings.analysis_jobs_metrics_port),
            "gateway": python(settings.metrics_port),
            "envoy": probes.envoy(session, settings.envoy_admin_port),
            "kafka": probes.kafka(settings.kafka_bootstrap_servers),
            "valkey": probes.valkey(cache),
        }
        return {name: probes.explained(probe, name, settings.supervisor_state) for name, probe in asked.items()}

    def _health(self) -> AllHealth:
        settings = self.settings
        ports = {
            "signalbox.prices.v1": settings.prices_port,
            "signalbox.analysis.v1": settings.analysis_port,
            "signalbox.news.v1": settings.news_port,
            "signalbox.reports.v1": settings.reports_port,
            "google.longrunning": settings.reports_port,
        }
        channels = {package: channel(f"{asked_at(settings.host)}:{port}") for package, port in ports.items()}
        for each in channels.values():
            self.lifecycle.on_stop(each.close)
        others = {service.full_name: channels[service.file.package] for service in services() if service.file.package in channels}
        own = {"": self._not_ready, SUBSCRIPTIONS: self.source.check_ready, system.SERVICE: _always}
        return AllHealth(own, others, self.clock)

    def _not_ready(self) -> str | None:
        return "; ".join(f"{name}: {why}" for name, why in self.lifecycle.ops.not_ready().items()) or None


def _always() -> str | None:
    """The system's state is answered as long as the process answers at all."""
    return None


async def _beat(hub: Hub, clock: Clock) -> None:
    while True:
        await clock.sleep(HEARTBEAT_S)
        hub.beat()


async def _say_goodbye(hub: Hub, clock: Clock, seconds: float) -> None:
    hub.say_goodbye("the server is about to stop", random.randint(*_RECONNECT_MS))
    if hub.connections:
        await clock.sleep(seconds)
    hub.close_all()


async def _close(server: asyncio.Server) -> None:
    server.close()
