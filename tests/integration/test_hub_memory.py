"""What clients that read nothing cost the gateway: its memory is weighed while they are owed all that they can be owed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest

from services.runtime.testing import eventually
from tests.integration.hub_servers import Feed, Gateway, new_feed, running_gateway
from tests.integration.lazy_client import Lazy
from tests.processes import Scale

MIB = 1 << 20
#: The least that the setting allows.
QUEUE_BYTES = MIB
#: Half of the clients want bars and half want ticks, each of a symbol of its own: what waits for one is not shared with another.
BARS = tuple(f"BARS{number}.XSIM" for number in range(25))
TICKS = tuple(f"TICKS{number}.XSIM" for number in range(25))
CLIENTS = len(BARS) + len(TICKS)
#: Besides its queue the gateway holds for a client what its transport takes before it counts as slow, and the frame with which it did: 256 KiB each.
MARGIN_BYTES = CLIENTS * (512 << 10)
#: Of each symbol in one round: so few that clients that are full in the same round are closed at nearly the same time.
_BARS, _TICKS = 500, 1_500
#: What is kept of each symbol, and what is on its way at once, is there after so many.
_FIRST_ROUNDS = 4
#: After so many more a client would be owed five times its bound.
_MOST_ROUNDS = 70


@pytest.fixture
def feed(kafka: str) -> Feed:
    return new_feed(kafka)


@pytest.fixture
def gateway(kafka: str, feed: Feed, tmp_path: Path) -> Iterator[Gateway]:
    """A new one: memory that others have made it take would be used again, and weigh nothing."""
    with running_gateway(kafka, tmp_path, SIGNALBOX_HUB_MAX_QUEUE_BYTES=str(QUEUE_BYTES)) as running:
        yield running


class _Rounds:
    """Bars and ticks of all symbols."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.count = 0

    async def send(self) -> None:
        """One round; numbers go on from the one before, from 1."""
        bars, ticks = (range(self.count * size + 1, (self.count + 1) * size + 1) for size in (_BARS, _TICKS))
        await asyncio.to_thread(self._send, bars, ticks)
        self.count += 1

    def _send(self, bars: range, ticks: range) -> None:
        for of_bars, of_ticks in zip(BARS, TICKS, strict=True):
            self._feed.bars(of_bars, bars)
            self._feed.ticks(of_ticks, ticks)


class _Reader:
    """A client that wants what two of the lazy ones want, and reads it. Nothing may be missing."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.got: Counter[str] = Counter()

    async def read(self, rounds: int) -> None:
        """Returns when it has had all of so many rounds, and no more."""
        while (self.got["bar"], self.got["tick"]) != (rounds * _BARS, rounds * _TICKS):
            for message in orjson.loads(await self._socket.receive_str(timeout=60)):
                assert message["T"] not in ("gap", "error"), message
                self.got[message["T"]] += 1


@asynccontextmanager
async def _reader(gateway: Gateway) -> AsyncIterator[_Reader]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{gateway.envoy.url}/v1/stream", max_msg_size=0) as socket:
        await socket.send_json({"action": "subscribe", "bars": [BARS[-1]], "ticks": [TICKS[-1]]})
        while not _is_answer(await socket.receive_str(timeout=30)):
            pass
        yield _Reader(socket)


async def test_clients_that_read_nothing_cost_no_more_than_their_queues(gateway: Gateway, feed: Feed) -> None:
    rounds = _Rounds(feed)
    assert gateway.child is not None
    async with _reader(gateway) as reader:
        for _ in range(_FIRST_ROUNDS):
            await _round(rounds, reader)
        of_bars, of_ticks = await _clients(gateway, "bars", BARS), await _clients(gateway, "ticks", TICKS)
        with Scale(gateway.child.pid) as scale:
            while gateway.metric("signalbox_hub_disconnects_total") < len(BARS) and rounds.count < _FIRST_ROUNDS + _MOST_ROUNDS:
                await _round(rounds, reader)
            print(f"{CLIENTS} clients, {rounds.count} rounds, grown by {scale.grown / MIB:.0f} MiB")
            assert scale.grown < CLIENTS * QUEUE_BYTES + MARGIN_BYTES
            # First those that are given little time to read why.
            await asyncio.gather(*map(_is_closed_with_a_reason, of_bars))
            await asyncio.gather(*(_is_told_what_it_missed(client, rounds.count) for client in of_ticks))
        print(f"grown by {scale.grown / MIB:.0f} MiB in the end")
        assert scale.grown < CLIENTS * QUEUE_BYTES + MARGIN_BYTES
        for client in (*of_bars, *of_ticks):
            client.writer.close()
        await eventually(lambda: gateway.metric("signalbox_hub_connections") == 1, timeout_s=30)
        async with _reader(gateway) as new:
            await _round(rounds, reader)
            await new.read(1)


async def _round(rounds: _Rounds, reader: _Reader) -> None:
    await rounds.send()
    await reader.read(rounds.count)


async def _clients(gateway: Gateway, channel: str, symbols: tuple[str, ...]) -> list[Lazy]:
    """One for each symbol, straight to the gateway: what they do not take waits there, and nowhere on the way."""
    clients = [await Lazy.connect(gateway.envoy.settings.gateway_ws_port) for _ in symbols]
    for client, symbol in zip(clients, symbols, strict=True):
        client.send(orjson.dumps({"action": "subscribe", channel: [symbol]}).decode())
        while not _is_answer((await client.frame())[1]):
            pass
    return clients


def _is_answer(frame: str | bytes) -> bool:
    return any(message["T"] == "subscriptions" for message in orjson.loads(frame))


async def _is_closed_with_a_reason(client: Lazy) -> None:
    while (frame := await asyncio.wait_for(client.frame(), 30))[0] != 8:
        pass
    assert int.from_bytes(frame[1][:2], "big") == 1013
    assert b"too slow" in frame[1][2:]


async def _is_told_what_it_missed(client: Lazy, rounds: int) -> None:
    """Every tick since it came, or a notice that says how many were left out."""
    following, gaps = _FIRST_ROUNDS * _TICKS + 1, 0
    while following <= rounds * _TICKS:
        opcode, payload = await asyncio.wait_for(client.frame(), 30)
        assert opcode == 1
        for message in orjson.loads(payload):
            if message["T"] == "tick":
                assert message["n"] == following
            gaps += message["T"] == "gap"
            following += {"tick": 1, "gap": message.get("dropped", 0)}.get(message["T"], 0)
    assert following == rounds * _TICKS + 1
    assert gaps >= 1
