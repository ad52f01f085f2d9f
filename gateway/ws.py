"""The WebSocket door of the hub, with picows."""

import asyncio
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import picows

from gateway.hub.codecs import JsonCodec
from gateway.hub.connection import Connection
from gateway.hub.hub import Hub
from gateway.hub.json_requests import parse_json
from gateway.hub.requests import BadRequest
from gateway.metrics import CONNECTIONS
from services.runtime.errors import AddressInUse, SignalboxError, Unavailable

PATH = "/v1/stream"

#: The largest request; a thousand symbols in five channels are 80 KiB as JSON, but 64 KiB in any sensible one.
MAX_REQUEST_BYTES = 64 << 10
#: What the kernel may hold for a client. Left to itself it takes several MiB, and a slow client would get old news.
_KERNEL_BYTES = 256 << 10
#: What the transport may hold besides, before the client counts as slow.
_WRITE_HIGH_BYTES = 256 << 10
_WRITE_LOW_BYTES = 64 << 10

#: How long a client that is being closed may take to read what it was sent.
_LINGER_S = 5.0
#: RFC 6455: the payload of a close frame is at most 125 bytes, two of them the code.
_MOST_REASON_BYTES = 123

_DATA = (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION)
_CONNECTED = CONNECTIONS.labels("websocket")


class _Socket:
    """Transport over a WebSocket."""

    def __init__(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        self._below = transport.underlying_transport
        self.paused = False

    def is_writable(self) -> bool:
        """As Transport says."""
        return not self.paused

    def send(self, frame: bytes) -> None:
        """As Transport says."""
        # A client that vanished is closing before it counts as disconnected.
        if not self._below.is_closing():
            self._transport.send(picows.WSMsgType.TEXT, frame)

    def close(self, code: int, reason: str) -> None:
        """As Transport says. What was sent before is still delivered, if the client reads it soon."""
        if self._below.is_closing():
            return
        self._transport.send_close(picows.WSCloseCode(code), reason.encode("ascii", "replace")[:_MOST_REASON_BYTES])
        self._transport.disconnect()
        asyncio.get_running_loop().call_later(_LINGER_S, self._below.abort)


class _Listener(picows.WSListener):
    """One WebSocket."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub
        self._socket: _Socket | None = None
        self._connection: Connection | None = None
        self._parts = bytearray()

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        transport.underlying_transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)
        transport.underlying_transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES, low=_WRITE_LOW_BYTES)
        self._socket = _Socket(transport)
        try:
            self._connection = self._hub.connect(JsonCodec(), self._socket)
        except SignalboxError as error:
            self._socket.close(picows.WSCloseCode.TRY_AGAIN_LATER.value, str(error))
            return
        _CONNECTED.inc()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type in _DATA and self._connection is not None:
            self._on_part(self._connection, frame)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if self._connection is not None:
            self._hub.disconnect(self._connection)
            self._connection = None
            _CONNECTED.dec()

    def pause_writing(self) -> None:
        if self._socket is not None:
            self._socket.paused = True

    def resume_writing(self) -> None:
        if self._socket is not None:
            self._socket.paused = False
        if self._connection is not None:
            self._hub.wake(self._connection)

    def _on_part(self, connection: Connection, frame: picows.WSFrame) -> None:
        self._parts += frame.get_payload_as_memoryview()
        if len(self._parts) > MAX_REQUEST_BYTES:
            connection.close(picows.WSCloseCode.MESSAGE_TOO_BIG.value, f"a request is at most {MAX_REQUEST_BYTES} bytes", "request too big")
            self._hub.wake(connection)
        elif frame.fin:
            data = bytes(self._parts)
            self._parts.clear()
            self._on_request(connection, data)

    def _on_request(self, connection: Connection, data: bytes) -> None:
        if connection.closed:
            return
        try:
            self._hub.handle(connection, parse_json(data))
        except BadRequest as error:
            self._hub.refuse(connection, error)


async def start_websocket_server(hub: Hub, host: str, port: int, not_ready: Callable[[], str | None]) -> asyncio.Server:
    """Listen. not_ready: why no client can be served now, None when they can. Raises AddressInUse."""

    def listener(request: picows.WSUpgradeRequest) -> Any:
        return _refusal(hub, request, not_ready) or _Listener(hub)

    try:
        return await picows.ws_create_server(
            listener,
            host,
            port,
            # Above our own limit, so that a frame a little too big is answered with its reason; beyond this the library hangs up.
            max_frame_size=4 * MAX_REQUEST_BYTES,
            # A client that vanished without a word is noticed.
            enable_auto_ping=True,
            auto_ping_idle_timeout=30,
            auto_ping_reply_timeout=30,
        )
    except OSError as error:
        raise AddressInUse(host, port, "WebSocket", error.strerror or str(error)) from error


def _refusal(hub: Hub, request: picows.WSUpgradeRequest, not_ready: Callable[[], str | None]) -> Any:
    path = request.path.decode("ascii", "replace").partition("?")[0]
    if path != PATH:
        return _error(HTTPStatus.NOT_FOUND, f"no such path; there is {PATH}")
    try:
        if (why := not_ready()) is not None:
            raise Unavailable("the hub", why)
        hub.check_room()
    except SignalboxError as error:
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    return None


def _error(status: HTTPStatus, detail: str) -> picows.WSUpgradeResponseWithListener:
    return picows.WSUpgradeResponseWithListener(picows.WSUpgradeResponse.create_error_response(status, detail.encode()), None)
