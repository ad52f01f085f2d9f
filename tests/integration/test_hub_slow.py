"""Clients that do not read, and clients that send nonsense, beside one that behaves."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator

import aiohttp
import grpc
import pytest
from signalbox.edge.v1 import subscription_service_pb2 as edge
from signalbox.edge.v1 import subscription_service_pb2_grpc as edge_grpc
from signalbox.market.v1 import market_pb2

from tests.integration.hub_servers import Feed, Gateway, new_feed, running_gateway
from tests.integration.lazy_client import Lazy, upgrade

QUEUE_BYTES = 1 << 20

#: Past what Envoy, the kernel and the gateway's own transport hold between them.
MANY_BARS = 60_000


@pytest.fixture(scope="module")
def feed(kafka: str) -> Feed:
    return new_feed(kafka)


@pytest.fixture(scope="module")
def gateway(kafka: str, feed: Feed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(kafka, tmp_path_factory.mktemp("slow"), SIGNALBOX_HUB_MAX_QUEUE_BYTES=str(QUEUE_BYTES)) as running:
        yield running


async def test_a_client_that_cannot_hold_final_bars_is_told_and_closed(gateway: Gateway, feed: Feed) -> None:
    lazy = await Lazy.connect(gateway.envoy.settings.edge_port)
    lazy.send('{"action":"subscribe","bars":["SLOW.XSIM"]}')
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{gateway.envoy.url}/v1/stream", max_msg_size=0) as good:
        await good.send_str('{"action":"subscribe","bars":["SLOW.XSIM"]}')
        got, at = 0, 0
        while gateway.metric("signalbox_hub_disconnects_total") == 0 and at < MANY_BARS:
            await asyncio.to_thread(feed.bars, "SLOW.XSIM", range(at, at + 2_000))
            while got < at + 2_000:
                got += sum(message["T"] == "bar" for message in json.loads(await good.receive_str(timeout=30)))
            at += 2_000
    assert at < MANY_BARS
    last = 0
    while True:
        opcode, payload = await asyncio.wait_for(lazy.frame(), 10)
        if opcode == 8:
            break
        for message in json.loads(payload):
            assert message["seq"] == last + 1
            last = message["seq"]
    assert int.from_bytes(payload[:2], "big") == 1013
    assert b"too slow" in payload[2:]
    assert 0 < last < MANY_BARS
    lazy.writer.close()


async def test_a_slow_client_of_ticks_gets_gaps_that_account_for_all(gateway: Gateway, feed: Feed) -> None:
    lazy = await Lazy.connect(gateway.envoy.settings.edge_port)
    lazy.send('{"action":"subscribe","ticks":["SLOWT.XSIM"]}')
    await lazy.frame()
    await lazy.frame()
    count = 120_000
    for at in range(1, count, 4_000):
        await asyncio.to_thread(feed.ticks, "SLOWT.XSIM", range(at, min(at + 4_000, count + 1)))
    expected, gaps = 1, 0
    while expected <= count:
        opcode, payload = await asyncio.wait_for(lazy.frame(), 20)
        assert opcode == 1
        for message in json.loads(payload):
            if message["T"] == "tick":
                assert message["n"] == expected
                expected += 1
            elif message["T"] == "gap":
                gaps += 1
                expected += message["dropped"]
    assert expected == count + 1
    assert gaps >= 1
    lazy.writer.close()


async def _read_all(stream: grpc.aio.StreamStreamCall[edge.SubscribeRequest, edge.SubscribeResponse]) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


async def test_a_slow_grpc_client_ends_with_resource_exhausted(gateway: Gateway, feed: Feed) -> None:
    selection = edge.Selection(channel=edge.CHANNEL_BARS, symbols=["SLOWG.XSIM"], interval=market_pb2.INTERVAL_1M)
    request = edge.SubscribeRequest(subscribe=edge.SubscribeAction(selections=[selection]))
    async with grpc.aio.insecure_channel(gateway.envoy.address) as channel:
        stream = edge_grpc.SubscriptionServiceStub(channel).Subscribe(iter([request]))
        frame = await stream.read()
        assert isinstance(frame, edge.SubscribeResponse)
        assert frame.messages[0].WhichOneof("body") == "subscriptions"
        before, at = gateway.metric("signalbox_hub_disconnects_total"), 0
        # Nothing is read until the hub has given up: buffers on the way may hold megabytes, and a client that reads meanwhile is served.
        while gateway.metric("signalbox_hub_disconnects_total") == before:
            assert at < 10 * MANY_BARS
            await asyncio.to_thread(feed.bars, "SLOWG.XSIM", range(at, at + 2_000))
            at += 2_000
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _read_all(stream)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "too slow" in (caught.value.details() or "")


async def test_nonsense_never_harms_the_others(gateway: Gateway, feed: Feed) -> None:
    chance = random.Random(7)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{gateway.envoy.url}/v1/stream") as good:
        await good.send_str('{"action":"subscribe","bars":["FUZZ.XSIM"]}')
        for _ in range(60):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.envoy.settings.gateway_ws_port)
            if chance.random() < 0.7:
                writer.write(upgrade())
            for _ in range(chance.randint(0, 6)):
                writer.write(chance.randbytes(chance.randint(1, 300)))
            writer.close()
        async with session.ws_connect(f"{gateway.envoy.url}/v1/stream") as odd:
            await odd.send_bytes(b'{"action":"subscribe","bars":["FUZZ.XSIM"]}')
            await odd.send_str("\u0000" * 60_000)
            await odd.send_str("[" * 60_000)
            await odd.send_str('{"action":"subscribe","bars":' + json.dumps(["*"] * 1_001) + "}")
            kinds: list[str] = []
            while len(kinds) < 5:
                kinds += [message["T"] for message in json.loads(await odd.receive_str(timeout=10)) if message["T"] != "heartbeat"]
            assert kinds == ["welcome", "subscriptions", "error", "error", "error"]
        feed.bars("FUZZ.XSIM", [1])
        found: list[str] = []
        while "bar" not in found:
            found += [message["T"] for message in json.loads(await good.receive_str(timeout=10))]
    assert gateway.why_not_ready() is None
