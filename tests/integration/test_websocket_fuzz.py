"""Anything through a real WebSocket, in fragments of any size: one answer to each request, and the connection goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.hub.hub import Hub
from gateway.hub.limits import Limits
from gateway.ws import PATH, start_websocket_server
from services.runtime.clock import SystemClock
from tests.unit.gateway.test_requests_answered import FRAMES, GOOD, id_in

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
PATIENCE_S = 20.0
MASK = bytes((1, 2, 3, 4))

FEW = settings(deadline=None, max_examples=30)


@dataclass
class Client:
    """A WebSocket client as bare as can be: it sends the frames it is told to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, opcode: int, payload: bytes, fin: bool = True) -> None:
        """One frame, masked as a client's must be."""
        length = len(payload)
        size = bytes((0x80 | length,)) if length < 126 else bytes((0x80 | 126,)) + length.to_bytes(2, "big")
        masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
        self.writer.write(bytes((fin << 7 | opcode,)) + size + MASK + masked)

    def send_in_parts(self, opcode: int, payload: bytes, cuts: list[int], ping: bool) -> None:
        """One message in so many frames and one; a ping may come after the first of several."""
        edges = [0, *sorted(cut % (len(payload) + 1) for cut in cuts), len(payload)]
        for number in range(len(edges) - 1):
            self.send(CONTINUATION if number else opcode, payload[edges[number] : edges[number + 1]], fin=number == len(edges) - 2)
            if ping and cuts and number == 0:
                self.send(PING, b"between")

    async def next_frame(self) -> tuple[int, bytes]:
        """Opcode and payload."""
        first, length = await self.reader.readexactly(2)
        assert first & 0x80, "the server sends whole messages"
        if length >= 126:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
        return first & 15, await self.reader.readexactly(length)

    async def answers(self, count: int) -> tuple[list[str], int]:
        """The ids of so many answers, and how many pongs came with them."""
        ids: list[str] = []
        pongs = 0
        while len(ids) < count:
            opcode, payload = await asyncio.wait_for(self.next_frame(), PATIENCE_S)
            assert opcode in {TEXT, PONG}, (opcode, payload)
            pongs += opcode == PONG
            messages = json.loads(payload) if opcode == TEXT else []
            ids += [message.get("id", "") for message in messages if message["T"] in {"subscriptions", "error"}]
        return ids, pongs


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A hub behind its WebSocket door; the port."""
    hub = Hub(SystemClock(), asyncio.get_running_loop().call_later, Limits(subscriptions=12))
    server = await start_websocket_server(hub, "127.0.0.1", 0, lambda: None)
    yield server.sockets[0].getsockname()[1]
    hub.close_all()
    server.close()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (f"GET {PATH} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    writer.write("\r\n".join((*head, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "")).encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    yield Client(reader, writer)
    writer.close()


@FEW
@given(frames=FRAMES, cuts=st.lists(st.integers(0, 2**16), max_size=4), opcode=st.sampled_from((TEXT, BINARY)), ping=st.booleans())
async def test_each_request_gets_one_answer_however_it_is_cut(frames: list[bytes], cuts: list[int], opcode: int, ping: bool) -> None:
    sent = [*frames, GOOD[1]]
    async with serving() as port, connected(port) as client:
        for data in sent:
            client.send_in_parts(opcode, data, cuts, ping)
        assert await client.answers(len(sent)) == ([id_in(data) for data in sent], len(sent) if ping and cuts else 0)


@FEW
@given(noise=st.binary(min_size=1, max_size=300), started=st.booleans())
async def test_bytes_that_are_no_frames_harm_nobody_else(noise: bytes, started: bool) -> None:
    async with serving() as port, connected(port) as other, connected(port) as client:
        if started:
            client.send(TEXT, b'{"action":', fin=False)
        client.writer.write(noise)
        await client.writer.drain()
        other.send(TEXT, GOOD[0])
        assert await other.answers(1) == (["7"], 0)
