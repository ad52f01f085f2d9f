"""Fan-out: 1,000 WebSocket clients on one hub, against the bare library that sends one frame a message.

Both run in this process on one core; the clients are in another and only count. Every message is a forming bar of the same size.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

import numpy as np
import picows
import uvloop

from gateway.hub.hub import Hub
from gateway.hub.intake import Intake
from gateway.hub.limits import Limits
from gateway.hub.rows import BarRow
from gateway.hub.series import Channel, SeriesKey
from gateway.hub.tables import Table
from gateway.hub.updates import Update
from gateway.ws import PATH, start_websocket_server
from services.runtime.clock import SystemClock
from tests.bench.results import Result

CLIENTS = 1_000
SECONDS = 4.0
#: Updates that come together, as from one batch of a feed with so many symbols.
TOGETHER = 20

_SUBSCRIBE = b'{"action":"subscribe","live_bars":["*"],"interval":"1m"}'


def run() -> list[Result]:
    """Messages a second that 1,000 clients got from the hub, and from the library alone."""
    hub_rate, hub_cpu = uvloop.run(_hub())
    bare_rate, bare_cpu = uvloop.run(_bare())
    reference = "picows, one frame a message"
    return [
        Result("hub.messages_per_s", hub_rate, "messages/s", reference, bare_rate),
        Result("hub.cpu_us_per_message", hub_cpu * 1e6, "microseconds of CPU", reference, bare_cpu * 1e6, higher_is_better=False),
    ]


async def _hub() -> tuple[float, float]:
    clock = SystemClock()
    hub = Hub(clock, asyncio.get_running_loop().call_later, Limits(connections=CLIENTS), flush_interval_s=0.0)
    intake = Intake(hub, clock)
    server = await start_websocket_server(hub, "127.0.0.1", 0, lambda: None)
    numbers = np.arange(TOGETHER, dtype=np.int64)
    symbols, rows = tuple(f"S{number}.XSIM" for number in range(TOGETHER)), np.array([_row(number) for number in range(TOGETHER)], np.int64)
    table = Table(Channel.LIVE_BARS, symbols, numbers, np.full(TOGETHER, 60, np.int64), rows)

    async def pump() -> None:
        intake.take(table)
        hub.flush()
        await asyncio.sleep(0)
        # The next only when all have taken this one: nothing may be conflated away.
        while not all(connection.is_idle() and connection.transport.is_writable() for connection in hub._connections):  # noqa: ASYNC110 - a turn, not a wait
            await asyncio.sleep(0)

    return await _measure(server, pump)


class _Plain(picows.WSListener):
    """A client of the bare library."""

    def __init__(self, everyone: dict[_Plain, picows.WSTransport]) -> None:
        super().__init__()
        self._everyone = everyone
        self.paused = False

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._everyone[self] = transport

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._everyone.pop(self, None)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False


async def _bare() -> tuple[float, float]:
    everyone: dict[_Plain, picows.WSTransport] = {}
    server = await picows.ws_create_server(lambda _request: _Plain(everyone), "127.0.0.1", 0)
    messages = [b'[{"seq":%d,%b]' % (number, Update(SeriesKey(Channel.LIVE_BARS, f"S{number}.XSIM", 60), _row(number)).json()) for number in range(TOGETHER)]

    async def pump() -> None:
        for message in messages:
            for transport in list(everyone.values()):
                if not transport.underlying_transport.is_closing():
                    transport.send(picows.WSMsgType.TEXT, message)
        await asyncio.sleep(0)
        while any(client.paused for client in everyone):  # noqa: ASYNC110 - a turn, not a wait
            await asyncio.sleep(0)

    return await _measure(server, pump)


def _row(number: int) -> BarRow:
    price = 163_725 + number
    return BarRow(60_000_000_000, 120_000_000_000, price, price, price, price, 12, price * 10_000, 3, 0, 2, 604_800_000_000_000, 2, 0, 1)


async def _measure(server: asyncio.Server, pump: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Messages a second seen by the clients, and CPU seconds of this process for each."""
    port = server.sockets[0].getsockname()[1]
    clients = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.hub", str(port), stdout=asyncio.subprocess.PIPE)
    assert clients.stdout is not None
    # They say so when all are connected.
    await clients.stdout.readline()
    cpu, answer = time.process_time(), asyncio.ensure_future(clients.stdout.readline())
    while not answer.done():
        await pump()
    cpu = time.process_time() - cpu
    counted = json.loads(answer.result())
    await clients.wait()
    server.close()
    return counted["messages"] / counted["seconds"], cpu / counted["messages"]


class _Counter(picows.WSListener):
    messages = 0

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        transport.send(picows.WSMsgType.TEXT, _SUBSCRIBE)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        _Counter.messages += frame.get_payload_as_bytes().count(b'"T":"live_bar"')


async def _clients(port: int) -> None:
    await asyncio.gather(*(picows.ws_connect(_Counter, f"ws://127.0.0.1:{port}{PATH}") for _ in range(CLIENTS)))
    print("connected", flush=True)
    await asyncio.sleep(0.5)
    messages, began = _Counter.messages, time.monotonic()
    await asyncio.sleep(SECONDS)
    print(json.dumps({"messages": _Counter.messages - messages, "seconds": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    uvloop.run(_clients(int(sys.argv[1])))
