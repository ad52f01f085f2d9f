"""A WebSocket spoken by hand, for clients that do not read."""

from __future__ import annotations

import asyncio
import base64
import os
import socket

#: What the kernel may hold for the client. Left to itself it takes megabytes, and whoever sends waits for nothing until then.
_RECEIVE_BYTES = 64 << 10


def upgrade() -> bytes:
    """The request that begins a stream."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ("GET /v1/stream HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


class Lazy:
    """Nothing is read until it is asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> Lazy:
        """A client of the stream on this port."""
        below = socket.socket()
        below.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        below.setblocking(False)
        await asyncio.get_running_loop().sock_connect(below, ("127.0.0.1", port))
        # A small window: what is not read soon stands still at the server.
        reader, writer = await asyncio.open_connection(sock=below, limit=1 << 10)
        writer.write(upgrade())
        while (await reader.readline()) != b"\r\n":
            pass
        return cls(reader, writer)

    def send(self, text: str) -> None:
        """A request of less than 126 bytes."""
        data = text.encode()
        assert len(data) < 126
        self.writer.write(bytes((0x81, 0x80 | len(data))) + bytes(4) + data)

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        head = await self.reader.readexactly(2)
        length = head[1] & 0x7F
        if length >= 126:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
        return head[0] & 0x0F, await self.reader.readexactly(length)
