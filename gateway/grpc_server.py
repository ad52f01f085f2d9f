"""The gateway's gRPC server: subscriptions and system status, with the reflection and the health of all services behind the edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.descriptors import services
from services.runtime.clock import Clock
from services.runtime.errors import AddressInUse
from services.runtime.grpc_handlers import Handlers
from services.runtime.grpc_server import add_reflection
from services.runtime.interceptors import CallWrapper
from services.runtime.logging import get_logger

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

_OPTIONS = (
    # Off, so that a second server on the same port is an error and not a silent sharing of the traffic.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
_log = get_logger("health")

_HEALTH = "grpc.health.v1.Health"
_ASK_TIMEOUT_S = 1.0
_WATCH_S = 1.0

#: None when it serves, otherwise why not.
Ready = Callable[[], str | None]
Answer = health_pb2.HealthCheckResponse
_SERVING, _NOT_SERVING, _UNKNOWN = int(Answer.SERVING), int(Answer.NOT_SERVING), int(Answer.SERVICE_UNKNOWN)


class AllHealth(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Health of every service: our own from our readiness, the others' by asking them, each time."""

    def __init__(self, own: Mapping[str, Ready], others: Mapping[str, grpc.aio.Channel], clock: Clock) -> None:
        self._own = own
        self._others = {name: health_pb2_grpc.HealthStub(channel) for name, channel in others.items()}
        self._clock = clock
        self._failures: dict[str, str] = {}

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """The state of one service; the empty name is the gateway. NOT_FOUND for a service that nobody knows."""
        status = await self._status(request.service)
        if status == _UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"service not found: {request.service}")
        return Answer(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The state, and again whenever it changes."""
        last: int | None = None
        while True:
            status = await self._status(request.service)
            if status != last:
                last = status
                yield Answer(status=status)
            await self._clock.sleep(_WATCH_S)

    async def _status(self, service: str) -> int:
        if (ready := self._own.get(service)) is not None:
            return _SERVING if await asyncio.to_thread(ready) is None else _NOT_SERVING
        if (stub := self._others.get(service)) is not None:
            return await self._ask(stub, service)
        return _UNKNOWN

    async def _ask(self, stub: health_pb2_grpc.HealthStub, service: str) -> int:
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=_ASK_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            # Whatever the reason: a service that cannot say that it serves does not.
            self._note(service, error)
            return _NOT_SERVING
        self._failures.pop(service, None)
        return int(answer.status)

    def _note(self, service: str, error: grpc.aio.AioRpcError) -> None:
        """Once for each reason: who watches asks every second."""
        code = error.code().name
        if self._failures.get(service) != code:
            self._failures[service] = code
            _log.warning("a service does not say how it is", service=service, code=code, reason=error.details())


async def start_grpc_server(host: str, port: int, adders: list[Callable[[Handlers], None]], health: AllHealth) -> grpc.aio.Server:
    """Start it. adders: each adds one service. Raises AddressInUse."""
    handlers = Handlers(CallWrapper())
    for add in adders:
        add(handlers)
    health_pb2_grpc.add_HealthServicer_to_server(health, handlers)
    add_reflection((*(service.full_name for service in services()), _HEALTH), handlers)
    server = grpc.aio.server(handlers=[handlers], options=_OPTIONS)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise AddressInUse(host, port, "gRPC") from error
    if bound == 0:
        raise AddressInUse(host, port, "gRPC")
    await server.start()
    return server
