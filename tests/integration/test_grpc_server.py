"""What happens around every RPC, seen through a real server and client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY

from services.runtime import errors
from services.runtime.grpc_client import channel
from services.runtime.grpc_server import Server, start_server
from services.runtime.ops import OpsServer
from services.runtime.telemetry import current_traceparent, span_from
from services.runtime.testing import ManualClock, eventually

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "test.Echo"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Echo:
    """Methods over raw bytes: what is asked for is done."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.begun = asyncio.Event()
        self.waits = asyncio.Event()

    async def single(self, request: bytes, context: Context) -> bytes:
        self.begun.set()
        if request == b"wrong":
            raise errors.InvalidArgument("field", "value", "better")
        if request == b"broken":
            raise ZeroDivisionError("a secret")
        if request == b"undecodable":
            raise DecodeError("a record of ours")
        if request == b"abort":
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "by hand")
        if request == b"trace":
            return (current_traceparent() or "").encode()
        if request == b"slow":
            await self._for_ever()
        return request

    async def _for_ever(self) -> None:
        self.waits.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def stream(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number
        if request == b"wrong":
            raise errors.Unavailable("Kafka", "gone")
        if request == b"slow":
            await self._for_ever()

    async def gather(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        return b"+".join([request async for request in requests])

    async def both(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request * 2

    async def write(self, request: bytes, context: Context) -> None:
        await context.write(b"written")


def parsed(data: bytes) -> bytes:
    """A request's only field."""
    service: str = health_pb2.HealthCheckRequest.FromString(data).service
    return service.encode()


def add_echo(echo: Echo, server: grpc.aio.Server) -> None:
    handlers: dict[str, Any] = {
        "Single": grpc.unary_unary_rpc_method_handler(echo.single),
        "Stream": grpc.unary_stream_rpc_method_handler(echo.stream),
        "Gather": grpc.stream_unary_rpc_method_handler(echo.gather),
        "Both": grpc.stream_stream_rpc_method_handler(echo.both),
        "Write": grpc.unary_stream_rpc_method_handler(echo.write),
        "ParsedSingle": grpc.unary_unary_rpc_method_handler(echo.single, parsed),
        "ParsedStream": grpc.unary_stream_rpc_method_handler(echo.stream, parsed),
        "ParsedWrite": grpc.unary_stream_rpc_method_handler(echo.write, parsed),
        "ParsedGather": grpc.stream_unary_rpc_method_handler(echo.gather, parsed),
        "ParsedBoth": grpc.stream_stream_rpc_method_handler(echo.both, parsed),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def server(echo: Echo) -> AsyncIterator[Server]:
    server = await start_server("127.0.0.1", 0, [(add_echo, echo, SERVICE)], deadline_s=0.3)
    yield server
    await server.stop(0.1)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Any]:
    async with channel(f"127.0.0.1:{server.port}") as client:
        yield client


def single(client: Any) -> Any:
    return client.unary_unary(f"/{SERVICE}/Single")


def handled(method: str, code: str) -> float:
    return REGISTRY.get_sample_value("signalbox_grpc_server_handled_total", {"method": f"/{SERVICE}/{method}", "code": code}) or 0.0


async def test_all_four_kinds_of_calls_pass(client: Any) -> None:
    assert await single(client)(b"x") == b"x"
    assert [item async for item in client.unary_stream(f"/{SERVICE}/Stream")(b"")] == [b"0", b"1", b"2"]
    assert [item async for item in client.unary_stream(f"/{SERVICE}/Write")(b"")] == [b"written"]
    assert await client.stream_unary(f"/{SERVICE}/Gather")(iter([b"a", b"b"])) == b"a+b"
    assert [item async for item in client.stream_stream(f"/{SERVICE}/Both")(iter([b"a", b"b"]))] == [b"aa", b"bb"]


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (b"wrong", grpc.StatusCode.INVALID_ARGUMENT, "field: expected better, was 'value'"),
        (b"broken", grpc.StatusCode.INTERNAL, "internal error"),
        (b"undecodable", grpc.StatusCode.INTERNAL, "internal error"),
        (b"abort", grpc.StatusCode.ALREADY_EXISTS, "by hand"),
    ],
)
async def test_errors_become_statuses_and_are_counted(client: Any, request_: bytes, code: grpc.StatusCode, message: str) -> None:
    before = handled("Single", code.name)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await single(client)(request_)
    assert (error.value.code(), error.value.details()) == (code, message)
    await eventually(lambda: handled("Single", code.name) == before + 1)


async def outcome(client: Any, method: str, payload: bytes) -> list[bytes]:
    """What a method answers to one message of these bytes."""
    path = f"/{SERVICE}/{method}"
    match method:
        case "ParsedSingle":
            return [await client.unary_unary(path)(payload)]
        case "ParsedGather":
            return [await client.stream_unary(path)(iter([payload]))]
        case "ParsedBoth":
            return [item async for item in client.stream_stream(path)(iter([payload]))]
        case _:
            return [item async for item in client.unary_stream(path)(payload)]


@pytest.mark.parametrize(
    ("method", "answer"),
    [("ParsedSingle", [b"x"]), ("ParsedStream", [b"0", b"1", b"2"]), ("ParsedWrite", [b"written"]), ("ParsedGather", [b"x"]), ("ParsedBoth", [b"xx"])],
)
async def test_a_request_that_does_not_parse_is_the_callers_fault(client: Any, method: str, answer: list[bytes]) -> None:
    assert await outcome(client, method, health_pb2.HealthCheckRequest(service="x").SerializeToString()) == answer
    before = handled(method, "INVALID_ARGUMENT")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await outcome(client, method, b"\xff\xff garbage")
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"message: expected a serialised request of {SERVICE}/{method}: " in (error.value.details() or "")
    assert (error.value.details() or "").endswith("was '10 bytes'")
    await eventually(lambda: handled(method, "INVALID_ARGUMENT") == before + 1)


async def test_a_stream_that_fails_delivers_what_came_before(client: Any) -> None:
    received: list[bytes] = []

    async def receive() -> None:
        async for item in client.unary_stream(f"/{SERVICE}/Stream")(b"wrong"):
            received.append(item)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await receive()
    assert (received, error.value.code()) == ([b"0", b"1", b"2"], grpc.StatusCode.UNAVAILABLE)


async def test_a_call_without_a_deadline_is_limited(client: Any, echo: Echo) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await single(client)(b"slow")
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "0.3 s, the server's limit for a call without a deadline" in (error.value.details() or "")
    await asyncio.wait_for(echo.cancelled.wait(), 5)


async def test_the_deadline_of_the_client_counts_where_there_is_one(client: Any, echo: Echo) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await single(client)(b"slow", timeout=0.6)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "server's limit" not in (error.value.details() or "")
    await asyncio.wait_for(echo.cancelled.wait(), 5)


async def test_cancelling_reaches_the_handler(client: Any, echo: Echo) -> None:
    before = handled("Single", "CANCELLED")
    call = single(client)(b"slow", timeout=30)
    await asyncio.wait_for(echo.begun.wait(), 5)
    call.cancel()
    await asyncio.wait_for(echo.cancelled.wait(), 5)
    await eventually(lambda: handled("Single", "CANCELLED") == before + 1)


async def test_leaving_a_stream_reaches_the_handler(client: Any, echo: Echo) -> None:
    call = client.unary_stream(f"/{SERVICE}/Stream")(b"slow")
    assert await call.read() == b"0"
    # Before that, it is the sending of a further message that is cancelled, outside of the handler.
    await asyncio.wait_for(echo.waits.wait(), 5)
    call.cancel()
    await asyncio.wait_for(echo.cancelled.wait(), 5)


async def test_the_trace_comes_from_the_caller(client: Any) -> None:
    with span_from(TRACE, "caller"):
        caller = current_traceparent() or ""
        seen = (await single(client)(b"trace")).decode()
    assert seen.split("-")[1] == caller.split("-")[1] == TRACE.split("-")[1]
    assert seen.split("-")[2] != caller.split("-")[2]


async def test_without_a_trace_a_new_one_begins(client: Any) -> None:
    first, second = [(await single(client)(b"trace")).decode() for _ in range(2)]
    assert first.split("-")[1] != second.split("-")[1]


async def test_a_port_in_use_is_an_error(server: Server) -> None:
    with pytest.raises(errors.AddressInUse, match=f"gRPC: cannot listen on 127.0.0.1:{server.port}"):
        await start_server("127.0.0.1", server.port, [])


async def test_health_follows_readiness(server: Server, client: Any) -> None:
    why: list[str] = []
    ops, clock = OpsServer(0), ManualClock()
    ops.add_ready_check("demo", lambda: why[0] if why else None)
    task = asyncio.create_task(server.follow(ops, clock))
    health = health_pb2_grpc.HealthStub(client)

    async def status() -> int:
        clock.advance(1.0)
        return int((await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status)

    async def is_(wanted: int) -> bool:
        return await status() == wanted

    await eventually(lambda: is_(health_pb2.HealthCheckResponse.SERVING))
    why.append("not any more")
    await eventually(lambda: is_(health_pb2.HealthCheckResponse.NOT_SERVING))
    task.cancel()


async def test_reflection_names_the_services(client: Any) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(client)
    answers = [answer async for answer in stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
