"""Which traceparent a service behind a real Envoy gets: of a unary call Envoy's own, of a stream the client's or none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from signalbox.prices.v1 import prices_service_pb2 as prices
from signalbox.prices.v1 import prices_service_pb2_grpc as prices_grpc

from gateway.descriptors import is_stream, services
from gateway.edge.clusters import resource_path
from services.runtime.telemetry import is_sampled, parse_traceparent
from tests.integration.edge_servers import RunningEnvoy, edge_settings, running_envoy
from tests.otlp_receiver import otlp_receiver

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
#: The client's traceparent, or none.
SENT = [None, f"{TRACE}-00", f"{TRACE}-01"]
#: Streams of both directions.
STREAMS = ["IngestTicks", "StreamBars"]


class Seeing(prices_grpc.PricesServiceServicer):
    """Keeps the metadata of its last call."""

    def __init__(self) -> None:
        self.metadata: dict[str, str | bytes] = {}

    def _see(self, context: Context) -> None:
        self.metadata = dict(context.invocation_metadata() or ())

    @property
    def traceparent(self) -> str | None:
        found = self.metadata.get("traceparent")
        return None if found is None else str(found)

    async def GetPrice(self, request: prices.GetPriceRequest, context: Context) -> prices.GetPriceResponse:
        self._see(context)
        return prices.GetPriceResponse()

    async def IngestTicks(self, request_iterator: AsyncIterator[prices.IngestTicksRequest], context: Context) -> prices.IngestTicksResponse:
        self._see(context)
        return prices.IngestTicksResponse(accepted=len([request async for request in request_iterator]))

    async def StreamBars(self, request: prices.StreamBarsRequest, context: Context) -> AsyncIterator[prices.StreamBarsResponse]:
        self._see(context)
        yield prices.StreamBarsResponse()


@pytest.fixture(scope="module", params=["always_off", "always_on"])
def envoy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvoy]:
    """An Envoy that has a collector; by its sampler it records none or all of the traces that begin there."""
    with otlp_receiver() as (_, endpoint):
        settings = edge_settings().model_copy(update={"otlp_endpoint": endpoint, "traces_sampler": request.param})
        with running_envoy(tmp_path_factory.mktemp("envoy"), settings) as running:
            yield running


@pytest.fixture
async def seeing(envoy: RunningEnvoy) -> AsyncIterator[Seeing]:
    server, servicer = grpc.aio.server(), Seeing()  # type: ignore[abstract]
    prices_grpc.add_PricesServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{envoy.settings.prices_port}")
    await server.start()
    yield servicer
    await server.stop(None)


async def call(envoy: RunningEnvoy, method: str, traceparent: str | None) -> None:
    """One call of a method through the edge."""
    sent = {"metadata": [("traceparent", traceparent)] if traceparent else None, "timeout": 20, "wait_for_ready": True}
    async with grpc.aio.insecure_channel(envoy.address) as channel:
        stub: Any = prices_grpc.PricesServiceStub(channel)
        if method == "GetPrice":
            await stub.GetPrice(prices.GetPriceRequest(), **sent)
        elif method == "IngestTicks":
            assert (await stub.IngestTicks(iter([prices.IngestTicksRequest()] * 3), **sent)).accepted == 3
        else:
            assert len([part async for part in stub.StreamBars(prices.StreamBarsRequest(), **sent)]) == 1


@pytest.mark.parametrize("method", STREAMS)
@pytest.mark.parametrize("sent", SENT)
async def test_a_stream_keeps_the_traceparent_of_its_client_and_is_given_none(envoy: RunningEnvoy, seeing: Seeing, method: str, sent: str | None) -> None:
    await call(envoy, method, sent)
    assert seeing.traceparent == sent
    assert not [name for name in seeing.metadata if name != "traceparent" and "traceparent" in name]


async def test_a_unary_call_gets_a_trace_of_envoys_own(envoy: RunningEnvoy, seeing: Seeing) -> None:
    await call(envoy, "GetPrice", None)
    assert parse_traceparent(seeing.traceparent) is not None
    assert is_sampled(seeing.traceparent) == (envoy.settings.sampling_ratio == 1)


@pytest.mark.parametrize("sent", SENT[1:])
async def test_a_unary_call_goes_on_in_the_trace_of_its_client(envoy: RunningEnvoy, seeing: Seeing, sent: str) -> None:
    await call(envoy, "GetPrice", sent)
    got, own = parse_traceparent(seeing.traceparent), parse_traceparent(sent)
    assert got is not None
    assert own is not None
    assert (got.trace_id, got.trace_flags) == (own.trace_id, own.trace_flags)
    assert got.span_id != own.span_id, "Envoy's span is between"


def test_every_stream_has_a_route_of_its_own(envoy: RunningEnvoy) -> None:
    routes = json.loads(resource_path(envoy.directory, "rds.json").read_text())["resources"][0]["virtual_hosts"][0]["routes"]
    untraced = {route["match"]["path"] for route in routes if "tracing" in route and "path" in route["match"]}
    streams = {f"/{service.full_name}/{method.name}" for service in services() for method in service.methods if is_stream(method)}
    assert untraced == streams | {"/v1/stream"}
