"""The gRPC door of the hub: SubscriptionService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from signalbox.edge.v1 import subscription_service_pb2 as edge

from gateway.hub.codecs import ProtoCodec
from gateway.hub.connection import TRY_AGAIN_LATER, Connection
from gateway.hub.hub import Hub
from gateway.hub.proto_requests import parse_proto
from gateway.hub.requests import BadRequest
from gateway.metrics import CONNECTIONS
from services.runtime.errors import InvalidArgument, ResourceExhausted, SignalboxError, Unavailable
from services.runtime.grpc_handlers import Handlers
from services.runtime.logging import get_logger
from services.runtime.metrics import UNEXPECTED_ERRORS

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = edge.DESCRIPTOR.services_by_name["SubscriptionService"].full_name

#: WebSocket close code; a gRPC client sees UNAVAILABLE.
_INTERNAL_ERROR = 1011

_log = get_logger("hub")
_CONNECTED = CONNECTIONS.labels("grpc")


class _Stream:
    """Transport over a gRPC stream: one frame at a time, the next when gRPC's flow control has taken it."""

    def __init__(self) -> None:
        self._frame: bytes | None = None
        self._changed = asyncio.Event()
        self._end: SignalboxError | None = None

    def is_writable(self) -> bool:
        """As Transport says."""
        return self._frame is None and self._end is None

    def send(self, frame: bytes) -> None:
        """As Transport says."""
        self._frame = frame
        self._changed.set()

    def close(self, code: int, reason: str) -> None:
        """As Transport says."""
        self.end(ResourceExhausted("the stream", reason) if code == TRY_AGAIN_LATER else Unavailable("the stream", reason))

    def end(self, error: SignalboxError) -> None:
        """The client is told of the error after the frame that is on its way, and of nothing else."""
        self._end = error
        self._changed.set()

    async def next_frame(self) -> bytes:
        """The frame to write; it counts as taken at the next call of `taken`. Raises what ends the stream."""
        while self._frame is None:
            if self._end is not None:
                raise self._end
            await self._changed.wait()
            self._changed.clear()
        return self._frame

    def taken(self) -> None:
        """The frame has been written."""
        self._frame = None


class SubscriptionService:
    """`Subscribe` on the hub. not_ready: why no client can be served now."""

    def __init__(self, hub: Hub, not_ready: Callable[[], str | None]) -> None:
        self._hub = hub
        self._not_ready = not_ready

    async def subscribe(self, requests: AsyncIterator[edge.SubscribeRequest], context: Context) -> AsyncIterator[bytes]:
        """Frames, serialised. Ends when the client cancels, is too slow (RESOURCE_EXHAUSTED) or the hub goes away (UNAVAILABLE)."""
        if (why := self._not_ready()) is not None:
            raise Unavailable("the hub", why)
        stream = _Stream()
        connection = self._hub.connect(ProtoCodec(), stream)
        _CONNECTED.inc()
        reading = asyncio.create_task(self._read(connection, requests))
        reading.add_done_callback(partial(self._on_read_end, connection, stream))
        try:
            while True:
                yield await stream.next_frame()
                stream.taken()
                self._hub.wake(connection)
        finally:
            reading.cancel()
            self._hub.disconnect(connection)
            _CONNECTED.dec()

    async def _read(self, connection: Connection, requests: AsyncIterator[edge.SubscribeRequest]) -> None:
        # A client that sends nothing more goes on receiving.
        async for request in requests:
            try:
                self._hub.handle(connection, parse_proto(request))
            except BadRequest as error:
                self._hub.refuse(connection, error)

    def _on_read_end(self, connection: Connection, stream: _Stream, reading: asyncio.Task[None]) -> None:
        if reading.cancelled() or (error := reading.exception()) is None:
            return
        if isinstance(error, InvalidArgument):
            # It does not parse, so there is no request that a refusal could name.
            stream.end(error)
            return
        UNEXPECTED_ERRORS.labels("subscribe").inc()
        _log.error("a request could not be handled", error=str(error), exc_info=error)
        connection.close(_INTERNAL_ERROR, "internal error", "error")


def add_subscription_service(service: SubscriptionService, server: Handlers) -> None:
    """Adds the service with frames that are bytes already: an update is serialised once for all clients."""
    handler = grpc.stream_stream_rpc_method_handler(service.subscribe, request_deserializer=edge.SubscribeRequest.FromString, response_serializer=_as_it_is)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Subscribe": handler}),))


def _as_it_is(frame: bytes) -> bytes:
    return frame
