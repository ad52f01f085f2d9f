"""The gRPC service beside real prices, worker, Kafka and Valkey: live equals Analyze to the last bit, and what happens when something is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from signalbox.analysis.v1 import analysis_service_pb2 as pb
from signalbox.analysis.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from signalbox.events.v1.analysis_batch_pb2 import SignalRow

from deploy.local.valkey import EmbeddedValkey
from services.analysis.indicators.registry import INDICATORS, NAMES
from services.runtime.grpc_client import channel
from services.runtime.kafka_admin import ensure_topics
from services.runtime.testing.waiting import eventually
from tests.integration.analysis_driver import PARTITIONS, Feed, Reader, Series, daily_series, walk_series
from tests.ports import free_ports
from tests.processes import Process, wait_until
from tests.servers import new_broker

if TYPE_CHECKING:
    from signalbox.analysis.v1.analysis_service_pb2_grpc import AnalysisServiceAsyncStub as Stub

PARTS = [daily_series("AAPL", "XNAS"), daily_series("IBM", "XNYS"), walk_series("TEST.XSIM", 1, 3000, 1), walk_series("TEST.XSIM", 60, 400, 2)]
SHORT = {1: "1s", 60: "1m", 86400: "1d"}


@dataclass
class Stack:
    """What runs for the tests of this module."""

    feed: Feed
    reader: Reader
    analysis: Process
    prices: Process
    valkey: EmbeddedValkey
    address: str


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Broker, Valkey, prices, worker and analysis, with the bars of PARTS published and worked on."""
    home = tmp_path_factory.mktemp("analysis-stack")
    ports = free_ports(6)
    with new_broker(home / "kafka") as broker, EmbeddedValkey(home / "valkey", ports[0]) as valkey:
        ensure_topics(broker.bootstrap, PARTITIONS)
        feed = Feed(broker.bootstrap)
        feed.send_all(PARTS, rows=200)
        running = _start(home, broker.bootstrap, valkey.url, ports)
        reader = Reader(broker.bootstrap)
        try:
            for process in running:
                process.wait_ready()
            wait_until(lambda: len(reader.read().values) == sum(len(part.ts_open) for part in PARTS), "the worker has worked on all bars")
            yield Stack(feed, reader, running[1], running[0], valkey, f"127.0.0.1:{ports[2]}")
        finally:
            reader.close()
            for process in running:
                process.kill()
            for log in sorted(home.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-10000:]}")


def _start(home: Path, bootstrap: str, valkey: str, ports: list[int]) -> list[Process]:
    common = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "REDIS_URL": valkey}
    prices = {"SIGNALBOX_PRICES_PORT": str(ports[1]), "SIGNALBOX_PRICES_METRICS_PORT": str(ports[3])}
    analysis = {
        "SIGNALBOX_ANALYSIS_PORT": str(ports[2]),
        "SIGNALBOX_ANALYSIS_METRICS_PORT": str(ports[4]),
        "SIGNALBOX_PRICES_ADDRESS": f"127.0.0.1:{ports[1]}",
    }
    worker = {"SIGNALBOX_ANALYSIS_WORKER_METRICS_PORT": str(ports[5])}
    return [
        Process(["services.prices"], home / "prices.log", ports[3], common | prices),
        Process(["services.analysis"], home / "analysis.log", ports[4], common | analysis),
        Process(["services.analysis.worker"], home / "worker.log", ports[5], common | worker),
    ]


@pytest.fixture
async def stub(stack: Stack) -> AsyncIterator[Stub]:
    async with channel(stack.address) as connection:
        yield AnalysisServiceStub(connection)


def stamp(ns: int) -> Timestamp:
    return Timestamp(seconds=ns // 10**9, nanos=ns % 10**9)


def nanoseconds(time: Timestamp) -> int:
    return time.seconds * 10**9 + time.nanos


async def analyze(stub: Stub, **fields: object) -> pb.Analysis:
    response: pb.AnalyzeResponse = await stub.Analyze(pb.AnalyzeRequest(**fields), timeout=30)  # type: ignore[arg-type]
    return response.analysis


def matrix(analysis: pb.Analysis) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.column_stack([np.array(item.values) for item in analysis.indicators])


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.symbol}-{part.interval}")
async def test_live_equals_analyze_to_the_last_bit(stack: Stack, stub: Stub, part: Series) -> None:
    analysis = await analyze(stub, symbol=part.symbol, interval_name=SHORT[part.interval], last=5000)
    written = stack.reader.read()
    keys = [(part.symbol, part.interval, nanoseconds(time)) for time in analysis.ts_open]
    assert [key[2] for key in keys] == part.ts_open
    assert tuple(item.name for item in analysis.indicators) == NAMES == written.names
    for row, key in zip(matrix(analysis), keys, strict=True):
        assert written.values[key] == (row.tobytes(), nanoseconds(analysis.origin_ts))
    assert analysis.bars_used == len(part.ts_open)
    assert list(analysis.close) == part.close.tolist()
    assert_same_signals(analysis, [SignalRow.FromString(data) for (key, _), data in written.signals.items() if key[:2] == keys[0][:2]])


def assert_same_signals(analysis: pb.Analysis, rows: list[SignalRow]) -> None:
    directions = {pb.DIRECTION_UP: 1, pb.DIRECTION_DOWN: -1}
    answered = {
        (nanoseconds(s.ts_open), s.type): (nanoseconds(s.ts_close), directions[s.direction], s.price, s.volume, s.strength, dict(s.values), int(s.source_kind))
        for s in analysis.signals
    }
    streamed = {
        (r.ts_open, r.type): (r.ts_close, r.direction, r.price, r.volume, r.strength, dict(zip(r.value_names, r.values, strict=True)), int(r.source_kind))
        for r in rows
    }
    assert len(answered) == len(analysis.signals)
    assert answered == streamed


async def test_range_columns_and_origin(stub: Stub) -> None:
    part = PARTS[0]
    whole = await analyze(stub, symbol=part.symbol, last=5000)
    named = await analyze(stub, symbol=part.symbol, indicators=["rsi_14", "sma_20"], start=stamp(part.ts_open[1000]), end=stamp(part.ts_open[1100]), last=50)
    assert [nanoseconds(time) for time in named.ts_open] == part.ts_open[1050:1100]
    assert [item.name for item in named.indicators] == ["rsi_14", "sma_20"]
    assert matrix(named).tobytes() == np.ascontiguousarray(matrix(whole)[1050:1100, [NAMES.index("rsi_14"), NAMES.index("sma_20")]]).tobytes()
    assert all(nanoseconds(signal.ts_open) in part.ts_open[1050:1100] for signal in named.signals)

    later = await analyze(stub, symbol=part.symbol, origin=stamp(part.ts_open[3000] - 1), last=5000)
    assert nanoseconds(later.origin_ts) == part.ts_open[3000]
    assert later.bars_used == len(part.ts_open) - 3000
    assert np.isnan(matrix(later)[18, NAMES.index("sma_20")])
    assert len((await analyze(stub, symbol=part.symbol)).ts_open) == 300
    nothing = await analyze(stub, symbol=part.symbol, end=stamp(part.ts_open[0]))
    assert (len(nothing.ts_open), len(nothing.signals), nothing.bars_used) == (0, 0, len(part.ts_open))


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"symbol": "aapl"}, grpc.StatusCode.INVALID_ARGUMENT, "symbol"),
        ({"symbol": "NONE.XNAS"}, grpc.StatusCode.NOT_FOUND, "NONE.XNAS 1d"),
        ({"symbol": "AAPL.XNAS", "interval_name": "7x"}, grpc.StatusCode.INVALID_ARGUMENT, "interval_name: expected one of 1s, 1m, 1d, was '7x'"),
        ({"symbol": "AAPL.XNAS", "indicators": ["sma_7"]}, grpc.StatusCode.INVALID_ARGUMENT, "sma_7"),
        ({"symbol": "AAPL.XNAS", "last": 5001}, grpc.StatusCode.INVALID_ARGUMENT, "last"),
        ({"symbol": "AAPL.XNAS", "start": stamp(2), "end": stamp(1)}, grpc.StatusCode.INVALID_ARGUMENT, "end"),
        ({"symbol": "AAPL.XNAS", "origin": stamp(4 * 10**18)}, grpc.StatusCode.INVALID_ARGUMENT, "origin"),
    ],
)
async def test_errors(stub: Stub, fields: dict[str, object], code: grpc.StatusCode, text: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await analyze(stub, **fields)
    assert caught.value.code() is code
    assert text in (caught.value.details() or "")


async def test_batch_answers_each_symbol_once(stub: Stub) -> None:
    symbols = ["AAPL.XNAS", "NONE.XNAS", "IBM.XNYS", "bad", "AAPL.XNAS"]
    request = pb.BatchAnalyzeRequest(symbols=symbols, template=pb.AnalyzeRequest(last=10))
    answers = [answer async for answer in stub.BatchAnalyze(request, timeout=30)]
    assert sorted(answer.symbol for answer in answers) == sorted(symbols)
    assert [answer.done for answer in answers] == [1, 2, 3, 4, 5]
    assert {answer.total for answer in answers} == {5}
    errors = {answer.symbol: answer.error.code for answer in answers if answer.HasField("error")}
    assert errors == {"NONE.XNAS": 5, "bad": 3}
    one = await analyze(stub, symbol="IBM.XNYS", last=10)
    (batched,) = [answer.analysis for answer in answers if answer.symbol == "IBM.XNYS"]
    assert batched.SerializeToString(deterministic=True) == one.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    "request_",
    [
        pb.BatchAnalyzeRequest(),
        pb.BatchAnalyzeRequest(symbols=["A.XNAS"] * 1001),
        pb.BatchAnalyzeRequest(symbols=["A.XNAS"], template=pb.AnalyzeRequest(symbol="B.XNAS")),
        pb.BatchAnalyzeRequest(symbols=["A.XNAS"], template=pb.AnalyzeRequest(last=-1)),
    ],
)
async def test_a_wrong_batch_is_refused(stub: Stub, request_: pb.BatchAnalyzeRequest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [answer async for answer in stub.BatchAnalyze(request_, timeout=30)]
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_batch_that_is_cancelled_stops(stack: Stack, stub: Stub) -> None:
    call = stub.BatchAnalyze(pb.BatchAnalyzeRequest(symbols=["AAPL.XNAS"] * 1000, template=pb.AnalyzeRequest(last=5000)), timeout=60)
    async for answer in call:
        if answer.done == 3:
            call.cancel()
            break
    in_flight = 'method="/signalbox.analysis.v1.AnalysisService/BatchAnalyze"'
    await eventually(lambda: stack.analysis.metric("signalbox_grpc_server_in_flight", in_flight) == 0)

    answered = stack.analysis.metric("signalbox_analysis_answers_total")
    await asyncio.sleep(0.3)
    assert stack.analysis.metric("signalbox_analysis_answers_total") - answered <= 1


async def test_list_indicators(stub: Stub) -> None:
    everything = await stub.ListIndicators(pb.ListIndicatorsRequest())
    assert [(item.name, item.lookback, item.pane) for item in everything.indicators] == [(item.name, item.lookback, item.pane) for item in INDICATORS]
    assert everything.next_page_token == ""
    names, token = [], ""
    while True:
        page = await stub.ListIndicators(pb.ListIndicatorsRequest(page_size=7, page_token=token))
        names += [item.name for item in page.indicators]
        token = page.next_page_token
        if not token:
            break
    assert tuple(names) == NAMES
    with pytest.raises(grpc.aio.AioRpcError, match="page_token"):
        await stub.ListIndicators(pb.ListIndicatorsRequest(page_token="nonsense"))


async def test_an_answer_is_cached_until_there_are_new_bars(stack: Stack, stub: Stub) -> None:
    part = PARTS[3]
    first = await analyze(stub, symbol=part.symbol, interval_name="1m", last=7)
    from_engine = stack.analysis.metric("signalbox_analysis_answers_total", 'source="engine"')
    again = await analyze(stub, symbol=part.symbol, interval_name="1m", last=7)
    assert again == first
    assert stack.analysis.metric("signalbox_analysis_answers_total", 'source="engine"') == from_engine

    more = walk_series("MORE.XSIM", 60, 10, 9)
    end = part.ts_open[-1]
    new = Series(part.symbol, 60, [end + (at + 1) * 60 * 10**9 for at in range(10)], more.high, more.low, more.close)
    stack.feed.send_all([new], rows=4)

    async def has_news() -> bool:
        return (await analyze(stub, symbol=part.symbol, interval_name="1m", last=7)).bars_used == first.bars_used + 10

    await eventually(has_news)
    wait_until(lambda: all((part.symbol, 60, at) in stack.reader.read().values for at in new.ts_open), "the worker has the new bars")
    latest = await analyze(stub, symbol=part.symbol, interval_name="1m", last=10)
    written = stack.reader.read()
    for row, time in zip(matrix(latest), latest.ts_open, strict=True):
        assert written.values[part.symbol, 60, nanoseconds(time)][0] == row.tobytes()


async def test_without_a_cache_answers_are_the_same(stack: Stack, stub: Stub) -> None:
    before = await analyze(stub, symbol="IBM.XNYS", last=11)
    stack.valkey.stop()
    assert await analyze(stub, symbol="IBM.XNYS", last=11) == before
    assert stack.analysis.metric("signalbox_cache_requests_total", 'result="error"') > 0
    stack.analysis.wait_ready()


async def test_without_prices_the_answer_says_so(stack: Stack, stub: Stub) -> None:
    stack.prices.kill()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await analyze(stub, symbol="IBM.XNYS")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "prices" in (caught.value.details() or "")
    await eventually(lambda: stack.analysis.ask("/readyz")[0] == 503)
    async with channel(stack.address) as connection:
        health = HealthStub(connection)

        async def not_serving() -> bool:
            return bool((await health.Check(HealthCheckRequest())).status == HealthCheckResponse.NOT_SERVING)

        await eventually(not_serving)
    assert stack.analysis.terminate() == 0
