"""The rendered configuration in a real Envoy, in front of small real servers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import grpc
import picows
import pytest
from aiohttp import web
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import prices_service_pb2 as prices
from signalbox.prices.v1 import prices_service_pb2_grpc as prices_grpc

from gateway.edge.admin import EnvoyRefused
from gateway.edge.clusters import resource_path
from gateway.edge.files import write_json
from gateway.edge.process import envoy_command
from gateway.edge.render import render
from tests.integration.edge_servers import RunningEnvoy, edge_settings, running_envoy


class SmallPrices(prices_grpc.PricesServiceServicer):
    """Answers from its request, so that a test sees what arrived."""

    def __init__(self) -> None:
        self.calls = 0

    async def GetPrice(self, request: prices.GetPriceRequest, context: grpc.aio.ServicerContext) -> prices.GetPriceResponse:  # type: ignore[type-arg]
        self.calls += 1
        if request.symbol == "NOBODY.XNAS":
            detail = any_pb2.Any()
            detail.Pack(error_details_pb2.ErrorInfo(reason="NOT_FOUND", domain="signalbox", metadata={"symbol": request.symbol}))
            status = status_pb2.Status(code=code_pb2.NOT_FOUND, message="price not found: NOBODY.XNAS", details=[detail])
            await context.abort_with_status(rpc_status.to_status(status))
        if request.symbol == "FLAKY.XNAS" and self.calls % 2 == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "once")
        if request.symbol == "DOWN.XNAS":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "always")
        return prices.GetPriceResponse(price=market_pb2.Price(symbol=request.symbol, price=1.5, source_kind=market_pb2.SOURCE_KIND_REPLAY))

    async def ListBars(self, request: prices.ListBarsRequest, context: grpc.aio.ServicerContext) -> prices.ListBarsResponse:  # type: ignore[type-arg]
        count = request.last or 1
        start = request.start if request.HasField("start") else None
        bar = market_pb2.Bar(symbol=request.symbol, interval=market_pb2.INTERVAL_1M, open=1637.25, ts_open=start)
        return prices.ListBarsResponse(bars=[bar] * count, next_page_token=request.interval_name)

    async def StreamBars(self, request: prices.StreamBarsRequest, context: grpc.aio.ServicerContext) -> AsyncIterator[prices.StreamBarsResponse]:  # type: ignore[type-arg]
        for _ in range(3):
            yield prices.StreamBarsResponse(bars=[market_pb2.Bar(symbol=request.symbol)])

    async def ListSeries(self, request: prices.ListSeriesRequest, context: grpc.aio.ServicerContext) -> prices.ListSeriesResponse:  # type: ignore[type-arg]
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED if (context.time_remaining() or 99) < 5 else grpc.StatusCode.INTERNAL, "")
        raise AssertionError  # abort raises


class Echo(picows.WSListener):
    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        transport.send(picows.WSMsgType.TEXT, frame.get_payload_as_bytes())


async def page(request: web.Request) -> web.Response:
    return web.Response(text="page")


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvoy]:
    with running_envoy(tmp_path_factory.mktemp("envoy"), edge_settings()) as running:
        yield running


@pytest.fixture
async def small_prices(envoy: RunningEnvoy) -> AsyncIterator[SmallPrices]:
    server, servicer = grpc.aio.server(), SmallPrices()  # type: ignore[abstract]
    prices_grpc.add_PricesServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{envoy.settings.prices_port}")
    await server.start()
    yield servicer
    await server.stop(None)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def test_validate_mode_accepts_the_bootstrap(tmp_path: Path) -> None:
    render(edge_settings(), tmp_path)
    result = subprocess.run(envoy_command(tmp_path, extra=["--mode", "validate"]), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


async def test_rest_is_transcoded_with_enum_names_and_defaults(envoy: RunningEnvoy, small_prices: SmallPrices, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{envoy.url}/v1/prices/ES.XCME") as answer:
        assert answer.status == 200
        assert answer.headers["x-request-id"]
        body = await answer.json()
    assert body["price"]["symbol"] == "ES.XCME"
    assert body["price"]["source_kind"] == "SOURCE_KIND_REPLAY"
    assert body["price"]["size"] == 0


async def test_query_parameters_reach_list_bars(envoy: RunningEnvoy, small_prices: SmallPrices, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{envoy.url}/v1/bars/ES.XCME?interval_name=1m&last=5&start=2013-09-03T12:30:00Z") as answer:
        body = await answer.json()
    assert len(body["bars"]) == 5
    assert body["next_page_token"] == "1m"
    assert body["bars"][0]["ts_open"] == "2013-09-03T12:30:00Z"


async def test_an_answer_of_several_mebibytes_passes_and_is_compressed(envoy: RunningEnvoy, small_prices: SmallPrices, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{envoy.url}/v1/bars/ES.XCME?last=15000") as answer:
        assert answer.headers["content-encoding"] == "gzip"
        body = await answer.read()
    assert len(body) > 2 << 20
    assert len(json.loads(body)["bars"]) == 15000


async def test_a_grpc_error_is_an_http_status_with_details(envoy: RunningEnvoy, small_prices: SmallPrices, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{envoy.url}/v1/prices/NOBODY.XNAS") as answer:
        assert answer.status == 404
        body = await answer.json()
    assert body["code"] == 5
    assert body["message"] == "price not found: NOBODY.XNAS"
    assert body["details"][0]["metadata"] == {"symbol": "NOBODY.XNAS"}


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/prices/", "/v1/bars/ES.XCME/more"])
async def test_an_unknown_path_is_a_404_problem(envoy: RunningEnvoy, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(envoy.url + path) as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"
        assert (await answer.json())["status"] == 404


@pytest.mark.parametrize("query", ["bogus=1", "last=many", "interval=INTERVAL_9Z"])
async def test_a_wrong_query_parameter_is_a_400_that_names_it(envoy: RunningEnvoy, http: aiohttp.ClientSession, query: str) -> None:
    async with http.get(f"{envoy.url}/v1/bars/ES.XCME?{query}") as answer:
        assert answer.status == 400
        problem = await answer.json()
    assert query.split("=")[query != "bogus=1"] in problem["detail"]


async def test_a_service_that_is_away_is_a_503(envoy: RunningEnvoy, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{envoy.url}/v1/indicators") as answer:
        assert answer.status == 503
    async with grpc.aio.insecure_channel(envoy.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await prices_grpc.PricesServiceStub(channel).GetPrice(prices.GetPriceRequest(symbol="ES.XCME"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_grpc_unary_stream_and_deadline(envoy: RunningEnvoy, small_prices: SmallPrices) -> None:
    async with grpc.aio.insecure_channel(envoy.address) as channel:
        stub = prices_grpc.PricesServiceStub(channel)
        assert (await stub.GetPrice(prices.GetPriceRequest(symbol="ES.XCME"))).price.price == 1.5
        assert [len(part.bars) async for part in stub.StreamBars(prices.StreamBarsRequest(symbol="ES.XCME"))] == [1, 1, 1]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListSeries(prices.ListSeriesRequest(), timeout=2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_only_reads_are_sent_again(envoy: RunningEnvoy, small_prices: SmallPrices) -> None:
    async with grpc.aio.insecure_channel(envoy.address, options=[("grpc.enable_retries", 0)]) as channel:
        answer = await prices_grpc.PricesServiceStub(channel).GetPrice(prices.GetPriceRequest(symbol="FLAKY.XNAS"))
    assert answer.price.symbol == "FLAKY.XNAS"
    assert small_prices.calls == 2
    routes = json.loads((resource_path(envoy.directory, "rds.json")).read_text())["resources"][0]["virtual_hosts"][0]["routes"]
    retried = {route["match"]["path"].rpartition("/")[2] for route in routes if "retry_policy" in route.get("route", {})}
    reads = {"GetPrice", "BatchGetPrices", "ListBars", "ListSeries", "Analyze", "ListIndicators", "GetSystemStatus"}
    reads |= {"ListArticles", "GetStory", "SearchArticles", "ListFeeds"}
    reads |= {"ListJobs", "ListJobKinds", "ListSchedules", "ListRuns", "GetReport", "ListReports", "GetOperation", "ListOperations"}
    assert retried == reads


async def test_failures_never_eject_the_only_process(envoy: RunningEnvoy, small_prices: SmallPrices) -> None:
    async with grpc.aio.insecure_channel(envoy.address, options=[("grpc.enable_retries", 0)]) as channel:
        stub = prices_grpc.PricesServiceStub(channel)
        for _ in range(12):
            with pytest.raises(grpc.aio.AioRpcError, match="always"):
                await stub.GetPrice(prices.GetPriceRequest(symbol="DOWN.XNAS"))
        assert (await stub.GetPrice(prices.GetPriceRequest(symbol="ES.XCME"))).price.price == 1.5


async def test_grpc_web_and_cors(envoy: RunningEnvoy, small_prices: SmallPrices, http: aiohttp.ClientSession) -> None:
    request = prices.GetPriceRequest(symbol="ES.XCME").SerializeToString()
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": "http://localhost:5173"}
    url = f"{envoy.url}/signalbox.prices.v1.PricesService/GetPrice"
    async with http.post(url, data=b"\0" + len(request).to_bytes(4, "big") + request, headers=headers) as answer:
        body = await answer.read()
        assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
    length = int.from_bytes(body[1:5], "big")
    assert prices.GetPriceResponse.FromString(body[5 : 5 + length]).price.price == 1.5
    assert b"grpc-status:0" in body[5 + length :].replace(b" ", b"")
    foreign = {"origin": "https://localhost.example.com", "access-control-request-method": "POST"}
    async with http.options(url, headers=foreign) as answer:
        assert "access-control-allow-origin" not in answer.headers


async def test_websocket_upgrade_and_page(envoy: RunningEnvoy, http: aiohttp.ClientSession) -> None:
    server = await picows.ws_create_server(lambda request: Echo(), "127.0.0.1", envoy.settings.gateway_ws_port)
    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", envoy.settings.gateway_web_port).start()
    try:
        async with http.ws_connect(f"{envoy.url}/v1/stream") as socket:
            await socket.send_str("hello")
            assert (await socket.receive_str()) == "hello"
        async with http.get(f"{envoy.url}/v1/stream") as answer:
            assert answer.status == 426
        async with http.get(f"{envoy.url}/") as answer:
            assert await answer.text() == "page"
    finally:
        server.close()
        await runner.cleanup()


async def test_metrics_listener_serves_one_path_only(envoy: RunningEnvoy, http: aiohttp.ClientSession) -> None:
    metrics = f"http://127.0.0.1:{envoy.settings.envoy_metrics_port}"
    async with http.get(f"{metrics}/stats/prometheus") as answer:
        assert answer.status == 200
        assert "envoy_cluster_upstream_cx_total" in await answer.text()
    for path in ("/config_dump", "/", "/stats", "/quitquitquit"):
        async with http.get(metrics + path) as answer:
            assert answer.status == 404
    async with http.post(f"{metrics}/stats/prometheus") as answer:
        assert answer.status == 404


def _eventually_took(envoy: RunningEnvoy, versions: dict[str, str], before: dict[str, int]) -> None:
    envoy.child.wait_ready(lambda: None if envoy.admin.took(versions, before) else "not in force", 10)


@pytest.mark.parametrize(
    "broken",
    [
        {"version_info": "bad", "resources": [{"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "edge", "virtual_hostz": []}]},
        {
            "version_info": "bad",
            "resources": [
                {
                    "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                    "name": "edge",
                    "validate_clusters": True,
                    "virtual_hosts": [{"name": "edge", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "no_such"}}]}],
                }
            ],
        },
    ],
    ids=["unknown-field", "unknown-cluster"],
)
async def test_a_refused_update_is_an_error_and_changes_nothing(envoy: RunningEnvoy, http: aiohttp.ClientSession, broken: dict[str, object]) -> None:
    before = envoy.admin.rejections()
    try:
        write_json(resource_path(envoy.directory, "rds.json"), broken)  # type: ignore[arg-type]
        with pytest.raises(EnvoyRefused, match=r"rds\.json"):
            _eventually_took(envoy, {"rds.json": "bad"}, before)
        async with http.get(f"{envoy.url}/v1/nothing") as answer:
            assert answer.status == 404
    finally:
        before = envoy.admin.rejections()
        _eventually_took(envoy, render(envoy.settings, envoy.directory), before)
