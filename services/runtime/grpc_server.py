"""A gRPC server with what every one of ours has: health, reflection, what is around each call, limits."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import AddressInUse
from services.runtime.grpc_handlers import Handlers
from services.runtime.interceptors import DEFAULT_DEADLINE_S, CallWrapper
from services.runtime.ops import OpsServer

#: Adds a servicer to Handlers: `add_XServicer_to_server` of the generated stubs, the servicer, the service's full name.
Service = tuple[Callable[[Any, Any], None], Any, str]

#: A client stream's message of 10,000 ticks is about 600 KiB; answers stay below 1 MiB.
_MAX_MESSAGE_BYTES = 8 << 20
#: How often health follows readiness.
_HEALTH_INTERVAL_S = 0.5
_HEALTH_SERVICE = "grpc.health.v1.Health"

_OPTIONS = (
    # Off, so that a second server on the same port is an error and not a silent sharing of the traffic.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class Server:
    """A running server. Health says NOT_SERVING until `serving(True)` or until `follow` finds the process ready."""

    def __init__(self, server: grpc.aio.Server, port: int, health_servicer: health.aio.HealthServicer, names: Sequence[str]) -> None:
        self._server = server
        self._health = health_servicer
        self._names = ("", *names)
        self.port = port
        """The port that is listened on."""

    async def serving(self, yes: bool) -> None:
        """Sets what the health service answers, for the server and for each service."""
        status = health_pb2.HealthCheckResponse.SERVING if yes else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self._health.set(name, status)

    async def follow(self, ops: OpsServer, clock: Clock | None = None) -> None:
        """Keeps health equal to the process's readiness, for ever. Checks run in a thread, as they may ask a broker."""
        clock = clock or SystemClock()
        while True:
            not_ready = await asyncio.to_thread(ops.not_ready)
            await self.serving(not not_ready)
            await clock.sleep(_HEALTH_INTERVAL_S)

    async def stop(self, grace_s: float = 3.0) -> None:
        """Answers NOT_SERVING, takes no new calls, gives those under way `grace_s` seconds and cancels the rest."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)


async def start_server(host: str, port: int, add: Sequence[Service], *, deadline_s: float = DEFAULT_DEADLINE_S) -> Server:
    """Starts a server for the services in `add`. port: 0 takes any free one. Raises AddressInUse."""
    handlers = Handlers(CallWrapper(deadline_s))
    for adder, servicer, _name in add:
        adder(servicer, handlers)
    names = [name for _adder, _servicer, name in add]
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, handlers)
    add_reflection((*names, _HEALTH_SERVICE), handlers)
    server = grpc.aio.server(handlers=[handlers], options=_OPTIONS)
    bound = _bind(server, host, port)
    await server.start()
    running = Server(server, bound, health_servicer, names)
    await running.serving(False)
    return running


def add_reflection(names: Iterable[str], handlers: Handlers) -> None:
    """Adds the reflection of services, by their full names, and of itself."""
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection.aio.ReflectionServicer((*names, reflection.SERVICE_NAME)), handlers)


def _bind(server: grpc.aio.Server, host: str, port: int) -> int:
    try:
        bound = int(server.add_insecure_port(f"{host}:{port}"))
    except RuntimeError as error:
        raise AddressInUse(host, port, "gRPC") from error
    if bound == 0:
        raise AddressInUse(host, port, "gRPC")
    return bound
