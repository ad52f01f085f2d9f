"""Kafka -> gateway process -> Envoy -> clients of every kind."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from signalbox.edge.v1 import subscription_service_pb2 as edge
from signalbox.edge.v1 import subscription_service_pb2_grpc as edge_grpc
from signalbox.edge.v1 import system_service_pb2
from signalbox.market.v1 import market_pb2

from services.runtime.testing import eventually
from services.runtime.topics import BARS
from tests.integration.hub_servers import START, TRACEPARENT, Feed, Gateway, new_feed, running_gateway

Message = dict[str, Any]

_names = itertools.count()


@pytest.fixture(scope="module")
def feed(kafka: str) -> Feed:
    return new_feed(kafka)


@pytest.fixture(scope="module")
def gateway(kafka: str, feed: Feed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(kafka, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def symbol() -> str:
    """A symbol that no other test uses."""
    return f"T{next(_names)}.XSIM"


class Client:
    """A WebSocket client that checks what holds for every connection: `seq` without a hole."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.seq = 0
        self.waiting: list[Message] = []

    async def send(self, **request: object) -> None:
        await self.socket.send_str(json.dumps(request))

    async def next(self) -> Message:
        """The next message that is no heartbeat."""
        while True:
            while not self.waiting:
                self.waiting = json.loads(await self.socket.receive_str(timeout=15))
            message = self.waiting.pop(0)
            self.seq += 1
            assert message["seq"] == self.seq
            if message["T"] != "heartbeat":
                return message
            assert message["last_seq"] == self.seq - 1

    async def take(self, count: int) -> list[Message]:
        return [await self.next() for _ in range(count)]

    async def until(self, kind: str) -> list[Message]:
        """Messages up to and with the first of this kind."""
        found = [await self.next()]
        while found[-1]["T"] != kind:
            found.append(await self.next())
        return found


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def connected(gateway: Gateway, http: aiohttp.ClientSession) -> Client:
    client = Client(await http.ws_connect(f"{gateway.envoy.url}/v1/stream", max_msg_size=0))
    welcome = await client.next()
    assert welcome["T"] == "welcome"
    assert welcome["heartbeat_s"] == 1
    return client


async def test_history_then_updates_without_overlap_or_gap(gateway: Gateway, feed: Feed, http: aiohttp.ClientSession, symbol: str) -> None:
    feed.bars(symbol, range(50))
    first = await connected(gateway, http)
    await first.send(action="subscribe", id="x", bars=[symbol], interval="1m", history=1)
    await eventually(lambda: gateway.metric("signalbox_hub_rows_total") >= 50)
    client = await connected(gateway, http)
    await client.send(action="subscribe", id="1", bars=[symbol], live_bars=[symbol], interval="1m", history=20)
    answer, *history = await client.until("history_end")
    assert answer["T"] == "subscriptions"
    assert answer["id"] == "1"
    assert answer["bars"] == {"1m": [symbol]}
    assert answer["ticks"] == []
    end = history.pop()
    assert end["count"] == len(history) == 20
    assert all(message["hist"] for message in history)
    feed.bars(symbol, [50], live=True)
    assert (await client.next())["T"] == "live_bar"
    feed.bars(symbol, range(45, 53), traceparent=TRACEPARENT)
    updates = await client.take(3)
    assert [message["t"] for message in history + updates] == [START // 1_000_000 + 60_000 * n for n in range(30, 53)]
    bar = updates[-1]
    assert (bar["c"], bar["vw"], bar["v"], bar["n"], bar["source"], bar["tp"]) == (152.0, 152.0, 5.0, 3, "replay", TRACEPARENT)
    assert bar["replay_of"] == bar["t"] - 7 * 86_400_000
    assert "hist" not in bar


async def test_all_channels_and_wildcards(gateway: Gateway, feed: Feed, http: aiohttp.ClientSession, symbol: str) -> None:
    client = await connected(gateway, http)
    await client.send(action="subscribe", ticks=["*"], bars=["*"], live_bars=["*"], indicators=["*"], signals=["*"], interval=["1m", "1d"])
    answer = await client.next()
    assert answer["signals"] == {"1m": ["*"], "1d": ["*"]}
    feed.ticks(symbol, [1])
    assert (await client.next()) == {
        "seq": client.seq,
        "T": "tick",
        "S": symbol,
        "p": 123.45,
        "s": 7.0,
        "t": START // 1_000_000 + 1,
        "ts_recv": START // 1_000,
        "source": "synthetic",
        "n": 1,
    }
    feed.bars(symbol, [1], live=True)
    assert (await client.next())["T"] == "live_bar"
    feed.bars(symbol, [1])
    assert (await client.next())["T"] == "bar"
    feed.bars(symbol, [1], live=True)  # comes after its final bar: turns nothing back
    feed.indicators(symbol, [1])
    indicators = await client.next()
    assert indicators["values"] == {"sma_5": 101.0}
    feed.signal(symbol, 1, "golden_cross")
    feed.signal(symbol, 1, "golden_cross")
    signal = await client.next()
    assert (signal["type"], signal["dir"], signal["values"]) == ("golden_cross", "up", {"sma_5": 2.5})
    await client.send(action="unsubscribe", ticks=["*"], bars=["*"], live_bars=["*"], indicators=["*"], signals=["*"], interval=["1m", "1d"])
    assert (await client.next())["bars"] == {}
    feed.ticks(symbol, [2])
    feed.signal(symbol, 2, "death_cross")
    await client.send(action="subscribe", signals=[symbol], history=5)
    kinds = [message["T"] for message in await client.until("history_end")]
    assert kinds[0] == "subscriptions"
    assert "tick" not in kinds


@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        ("", 400, ["JSON"]),
        ("garbage", 400, ["JSON"]),
        ("[1,2]", 400, ["JSON object"]),
        ('{"action":"dance"}', 400, ["action", "dance", "subscribe"]),
        ('{"action":"subscribe","id":"9"}', 400, ["at least one of"]),
        ('{"action":"subscribe","id":"9","bars":["lower"]}', 400, ["bars", "lower", "AAPL.XNAS"]),
        ('{"action":"subscribe","id":"9","bars":"ES.XCME"}', 400, ["bars", "list"]),
        ('{"action":"subscribe","id":"9","bars":["ES.XCME"],"interval":"7x"}', 400, ["interval", "7x", "1s, 1m"]),
        ('{"action":"subscribe","id":"9","bars":["ES.XCME"],"history":1001}', 400, ["history", "1001"]),
        ('{"action":"subscribe","id":"9","bars":["ES.XCME"],"resume_from":"x"}', 400, ["resume_from"]),
        ('{"action":"subscribe","id":"9","quotes":["ES.XCME"]}', 404, ["quotes"]),
    ],
)
async def test_a_bad_request_is_answered_and_the_connection_goes_on(
    gateway: Gateway, http: aiohttp.ClientSession, frame: str, code: int, words: list[str]
) -> None:
    client = await connected(gateway, http)
    await client.socket.send_str(frame)
    error = await client.next()
    assert (error["T"], error["code"]) == ("error", code)
    assert all(word in error["msg"] for word in words), error["msg"]
    if '"id":"9"' in frame:
        assert error["id"] == "9"
    await client.send(action="subscribe", bars=["ES.XCME"])
    assert (await client.next())["T"] == "subscriptions"


async def test_a_frame_that_is_too_big_ends_only_its_connection(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    client = await connected(gateway, http)
    await client.socket.send_str("x" * (65 << 10))
    message = await client.socket.receive(timeout=10)
    while message.type is aiohttp.WSMsgType.TEXT:
        message = await client.socket.receive(timeout=10)
    assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert client.socket.close_code == 1009
    huge = await connected(gateway, http)
    await huge.socket.send_str("x" * (1 << 20))
    assert (await huge.socket.receive(timeout=10)).type is not aiohttp.WSMsgType.TEXT
    await connected(gateway, http)


async def test_grpc_stream_speaks_of_the_same(gateway: Gateway, feed: Feed, symbol: str) -> None:
    known = gateway.metric("signalbox_hub_series")
    feed.bars(symbol, range(5))
    await eventually(lambda: gateway.metric("signalbox_hub_series") > known)
    selection = edge.Selection(channel=edge.CHANNEL_BARS, symbols=[symbol], interval=market_pb2.INTERVAL_1M)
    request = edge.SubscribeRequest(id="g", subscribe=edge.SubscribeAction(selections=[selection], history=3))
    bad = edge.SubscribeRequest(id="b", subscribe=edge.SubscribeAction(selections=[edge.Selection(channel=edge.CHANNEL_BARS, symbols=["x"])]))
    async with grpc.aio.insecure_channel(gateway.envoy.address) as channel:
        stream = edge_grpc.SubscriptionServiceStub(channel).Subscribe(iter([bad, request]), timeout=30)
        messages: list[edge.StreamMessage] = []

        async def until(kind: str) -> edge.StreamMessage:
            async for frame in stream:
                messages.extend(message for message in frame.messages if message.WhichOneof("body") != "heartbeat")
                for message in frame.messages:
                    if message.WhichOneof("body") == kind:
                        return message
            raise AssertionError(f"the stream ended before {kind}")

        end = await until("history_end")
        assert [message.WhichOneof("body") for message in messages] == ["error", "subscriptions", "bar", "bar", "bar", "history_end"]
        assert messages[0].error.id == "b"
        assert end.history_end.count == 3
        assert all(message.is_history for message in messages[2:5])
        bar = messages[4].bar.bar
        assert (bar.symbol, bar.close, bar.is_final, bar.source_kind) == (symbol, 104.0, True, market_pb2.SOURCE_KIND_REPLAY)
        feed.bars(symbol, [5], traceparent=TRACEPARENT)
        update = await until("bar")
        assert update.traceparent == TRACEPARENT
        assert not update.is_history
        assert update.seq > end.seq
        await until("heartbeat")
        stream.cancel()


async def test_bytes_that_are_no_request_end_a_grpc_stream_as_the_callers_fault(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(gateway.envoy.address) as channel:
        call: Any = channel.stream_stream("/signalbox.edge.v1.SubscriptionService/Subscribe")
        stream = call(iter([b"\xff\xff garbage"]), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_reflection_and_health_of_all_services(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(gateway.envoy.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="signalbox.prices.v1.PricesService"),
        ]
        answers = [answer async for answer in stub.ServerReflectionInfo(iter(asked))]
        names = {service.name for service in answers[0].list_services_response.service}
        health = health_pb2_grpc.HealthStub(channel)
        states = {name: (await health.Check(health_pb2.HealthCheckRequest(service=name))).status for name in ("", *sorted(names)) if "grpc." not in name}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    ours = {f"signalbox.reports.v1.{name}Service" for name in ("Jobs", "Schedule", "Reports")} | {"google.longrunning.Operations"}
    ours |= {"signalbox.prices.v1.PricesService", "signalbox.analysis.v1.AnalysisService", "signalbox.news.v1.NewsService"}
    assert {name for name in names if "grpc." not in name} == ours | {"signalbox.edge.v1.SubscriptionService", "signalbox.edge.v1.SystemService"}
    assert answers[1].file_descriptor_response.file_descriptor_proto
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert states["signalbox.edge.v1.SubscriptionService"] == states[""] == serving
    assert {states[name] for name in ours} == {not_serving}  # they do not run here


async def test_unknown_grpc_service_is_unimplemented(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(gateway.envoy.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/no.such.Service/Method")(b"")  # type: ignore[arg-type]
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_system_status_by_asking(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{gateway.envoy.url}/v1/system") as answer:
        assert answer.status == 200
        body = await answer.json()
    health = {process["name"]: process["health"] for process in body["processes"]}
    assert health["gateway"] == health["envoy"] == health["kafka"] == "PROCESS_HEALTH_READY"
    assert health["prices"] == health["feeds"] == "PROCESS_HEALTH_DOWN"
    own = next(process for process in body["processes"] if process["name"] == "gateway")
    assert int(own["resident_bytes"]) > 10 << 20
    assert own["cpu_seconds"] > 0
    assert "ticks_lag" not in body
    # gRPC-Web sees the same.
    request = {"content-type": "application/grpc-web+proto"}
    async with http.post(f"{gateway.envoy.url}/signalbox.edge.v1.SystemService/GetSystemStatus", data=bytes(5), headers=request) as answer:
        data = await answer.read()
    status = system_service_pb2.GetSystemStatusResponse.FromString(data[5 : 5 + int.from_bytes(data[1:5], "big")])
    assert len(status.processes) == len(health)


async def test_the_page_is_served_through_the_edge(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{gateway.envoy.url}/") as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        etag = answer.headers["etag"]
    async with http.get(f"{gateway.envoy.url}/", headers={"if-none-match": etag}) as answer:
        assert answer.status == 304
    for path in ("/../settings.py", "/%2e%2e/settings.py", "/no-such", "/..%2fsettings.py"):
        async with http.get(gateway.envoy.url + path) as answer:
            assert answer.status in (400, 404), path


async def test_a_record_that_cannot_be_read_is_counted_and_passed_over(gateway: Gateway, feed: Feed, http: aiohttp.ClientSession, symbol: str) -> None:
    before = gateway.metric("signalbox_hub_bad_records_total")
    client = await connected(gateway, http)
    await client.send(action="subscribe", bars=[symbol])
    await client.next()
    feed.send(BARS.name, symbol, b"\xff\xff\xff garbage")
    feed.bars(symbol, [1])
    assert (await client.next())["T"] == "bar"
    assert gateway.metric("signalbox_hub_bad_records_total") == before + 1


async def test_sigterm_says_goodbye_and_a_restart_has_the_history(gateway: Gateway, feed: Feed, http: aiohttp.ClientSession, symbol: str) -> None:
    feed.bars(symbol, range(30))
    feed.indicators(symbol, range(30))
    client = await connected(gateway, http)
    await client.send(action="subscribe", bars=[symbol], history=1000)
    await client.until("history_end")
    stopped = asyncio.get_running_loop().run_in_executor(None, gateway.stop)
    goodbye = (await client.until("going_away"))[-1]
    assert goodbye["reconnect_after_ms"] > 0
    message = await client.socket.receive(timeout=10)
    while message.type is aiohttp.WSMsgType.TEXT:
        message = await client.socket.receive(timeout=10)
    assert client.socket.close_code == 1001
    assert await stopped == 0
    async with http.get(f"{gateway.envoy.url}/v1/system") as answer:
        assert answer.status == 503
    gateway.start()
    client = await connected(gateway, http)
    await client.send(action="subscribe", bars=[symbol], indicators=[symbol], history=1000)
    kinds = [message["T"] for message in await client.until("history_end")]
    assert (kinds.count("bar"), kinds.count("indicators")) == (30, 30)


async def test_kill_and_restart(gateway: Gateway, feed: Feed, http: aiohttp.ClientSession, symbol: str) -> None:
    client = await connected(gateway, http)
    await client.send(action="subscribe", bars=[symbol])
    await client.next()
    gateway.kill()
    while (await client.socket.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
        pass
    feed.bars(symbol, range(3))
    gateway.start()
    client = await connected(gateway, http)
    await client.send(action="subscribe", bars=[symbol], history=10)
    assert [message["T"] for message in await client.until("history_end")].count("bar") == 3
