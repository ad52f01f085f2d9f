"""One trace from the feed to a client, and from a client through the edge to a service, as a collector sees it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

import aiohttp
import grpc
import pytest
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import prices_service_pb2 as prices
from signalbox.prices.v1 import prices_service_pb2_grpc as prices_grpc

from services.runtime.testing import eventually
from tests.e2e.conftest import Stack, signalbox
from tests.otlp_receiver import ReceivedSpan, Receiver, otlp_receiver
from tests.servers import stack_environment

#: From a signal's message to the first tick of its trace, each with its process.
SIGNAL_PATH = [
    ("gateway", "deliver analysis.signals.v1", "consumer"),
    ("analysis-worker", "create analysis.signals.v1", "producer"),
    ("analysis-worker", "process market.bars.v1", "consumer"),
    ("prices-worker", "create market.bars.v1", "producer"),
    ("prices-worker", "process market.ticks.v1", "consumer"),
    ("feeds", "send market.ticks.v1", "producer"),
]


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Receiver]]:
    """A stack that records every trace, and what its collector has."""
    home = tmp_path_factory.mktemp("traced-home")
    with otlp_receiver() as (receiver, endpoint):
        tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "parentbased_always_on", "OTEL_BSP_SCHEDULE_DELAY": "200"}
        env = stack_environment(home, prepared=True) | tracing | {"SIGNALBOX_FEEDS": "replay-es"}
        started = signalbox(env, "up")
        try:
            assert started.returncode == 0, f"{started.stdout}\n{started.stderr}"
            yield Stack(env, home), receiver
        finally:
            stopped = signalbox(env, "down")
            assert stopped.returncode == 0, f"{stopped.stdout}\n{stopped.stderr}"


async def messages(stack: Stack) -> AsyncGenerator[dict[str, object]]:
    """What a WebSocket client is sent, as it happens."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://{stack.edge}/v1/stream") as socket:
        wanted = {"bars": ["*"], "live_bars": ["*"], "indicators": ["*"], "signals": ["*"], "interval": "1m"}
        await socket.send_json({"action": "subscribe", **wanted})
        async for frame in socket:
            for message in json.loads(frame.data):
                assert message["T"] != "error", message
                yield message


@dataclass(slots=True)
class Told:
    """What messages with one trace say of it."""

    trace_id: str
    span_ids: dict[str, str] = field(default_factory=dict)
    """By kind of message: the span that its `tp` names."""


async def traced(stack: Stack, *kinds: str) -> Told:
    """The first trace of which the client has been sent messages of all these kinds."""
    seen: dict[str, Told] = {}
    async with asyncio.timeout(150), aclosing(messages(stack)) as stream:
        async for message in stream:
            if "tp" in message:
                _version, trace_id, span_id, flags = str(message["tp"]).split("-")
                assert int(flags, 16) & 1, "every trace is recorded here"
                told = seen.setdefault(trace_id, Told(trace_id))
                told.span_ids.setdefault(str(message["T"]), span_id)
                if told.span_ids.keys() >= set(kinds):
                    return told
    raise AssertionError("the stream ended")


def path_of(trace: dict[str, ReceivedSpan], span: ReceivedSpan) -> list[ReceivedSpan]:
    """A span and those above it that were received."""
    return [span, *path_of(trace, trace[span.parent_id])] if span.parent_id in trace else [span]


async def whole(receiver: Receiver, told: Told, kind: str, topic: str) -> dict[str, ReceivedSpan]:
    """The trace, once none of its spans waits for its parent and the record that such a message came from is in it, with its delivery.

    Asserts that the message's `tp` is the record's own span, and that the delivery follows from it.
    """
    record_id = told.span_ids[kind]

    def arrived() -> bool:
        trace = receiver.trace(told.trace_id)
        delivered = any(span.name == f"deliver {topic}" and span.parent_id == record_id for span in trace.values())
        return delivered and all(not span.parent_id or span.parent_id in trace for span in trace.values())

    await eventually(arrived, timeout_s=20)
    trace = receiver.trace(told.trace_id)
    assert trace[record_id].name == f"create {topic}"
    return trace


@pytest.mark.timeout(600)
async def test_a_signal_is_one_whole_trace_from_the_feed_to_its_delivery(collected: tuple[Stack, Receiver]) -> None:
    stack, receiver = collected
    trace = await whole(receiver, await traced(stack, "bar", "indicators", "signal"), "signal", "analysis.signals.v1")
    names = {span.name for span in trace.values()}
    assert {"create analysis.indicators.v1", "deliver analysis.indicators.v1", "deliver market.bars.v1"} <= names
    assert [span.name for span in trace.values() if not span.parent_id] == ["send market.ticks.v1"], "one trace has one beginning"
    (delivery,) = (span for span in trace.values() if span.name == "deliver analysis.signals.v1")
    path = path_of(trace, delivery)
    assert [(span.process, span.name, span.kind) for span in path] == SIGNAL_PATH
    starts = [span.start_ns for span in path]
    assert starts == sorted(starts, reverse=True), "each begins after what it follows from"
    assert all(span.end_ns >= span.start_ns for span in path)


async def test_spans_say_where_their_record_was_and_what_was_in_it(collected: tuple[Stack, Receiver]) -> None:
    stack, receiver = collected
    trace = await whole(receiver, await traced(stack, "bar"), "bar", "market.bars.v1")
    sent, processed, delivered = (_only(trace, name) for name in ("send market.ticks.v1", "process market.ticks.v1", "deliver market.bars.v1"))
    assert sent.attributes["messaging.system"] == "kafka"
    assert sent.attributes["signalbox.symbols"] in (0, 1), "a batch, or a watermark"
    assert processed.attributes["messaging.destination.name"] == "market.ticks.v1"
    assert processed.attributes["messaging.destination.partition.id"] == sent.attributes["messaging.destination.partition.id"]
    assert processed.attributes["signalbox.rows"] == sent.attributes["signalbox.rows"]
    assert int(processed.attributes["messaging.kafka.offset"]) >= 0
    assert int(processed.attributes["signalbox.bars"]) > 0
    assert int(delivered.attributes["signalbox.clients"]) == 1
    # Its first rows came in batches before the one that closed it; their processing is what the links name, in traces of their own.
    assert 1 <= len(set(processed.links)) == len(processed.links) <= 8
    assert processed.trace_id not in {trace_id for trace_id, _ in processed.links}
    linked = [await _received(receiver, *link) for link in processed.links]
    assert {span.name for span in linked} == {"process market.ticks.v1"}
    assert all(span.start_ns < processed.start_ns for span in linked)


async def test_the_last_live_bar_belongs_to_a_trace_too(collected: tuple[Stack, Receiver]) -> None:
    stack, receiver = collected
    trace = await whole(receiver, await traced(stack, "live_bar"), "live_bar", "market.bars.live.v1")
    assert {"send market.ticks.v1", "process market.ticks.v1", "create market.bars.live.v1"} <= {span.name for span in trace.values()}


@pytest.mark.parametrize("from_client", [True, False])
async def test_a_unary_call_joins_client_envoy_and_service(collected: tuple[Stack, Receiver], from_client: bool) -> None:
    stack, receiver = collected
    before = len(receiver.spans())
    trace_id, client_id = os.urandom(16).hex(), os.urandom(8).hex()
    metadata = [("traceparent", f"00-{trace_id}-{client_id}-01")] if from_client else []
    async with grpc.aio.insecure_channel(stack.edge) as channel:
        await prices_grpc.PricesServiceStub(channel).GetPrice(prices.GetPriceRequest(symbol="ES.XCME"), metadata=metadata, timeout=20)

    def find(test: Callable[[ReceivedSpan], bool]) -> list[ReceivedSpan]:
        return [span for span in receiver.spans()[before:] if test(span)]

    def served(span: ReceivedSpan) -> bool:
        return span.name == "signalbox.prices.v1.PricesService/GetPrice" and span.process == "prices" and (not from_client or span.trace_id == trace_id)

    def arrived() -> bool:
        return any(len([s for s in receiver.trace(span.trace_id).values() if s.process == "envoy"]) == 2 for span in find(served))

    await eventually(arrived, timeout_s=20)
    span = find(served)[0]
    trace = receiver.trace(span.trace_id)
    outgoing = trace[span.parent_id]
    incoming = trace[outgoing.parent_id]
    assert [(each.process, each.kind) for each in (span, outgoing, incoming)] == [("prices", "server"), ("envoy", "client"), ("envoy", "server")]
    assert incoming.parent_id == (client_id if from_client else "")
    assert span.attributes["rpc.method"] == "GetPrice"
    assert span.attributes["rpc.grpc.status_code"] == 0


def ticks(source: str) -> Iterator[prices.IngestTicksRequest]:
    """Of many symbols of its own, so that most are in partitions where no other source holds their bars open; the second message closes those of the first."""
    now_s = int(time.time())
    for ts_event_s in (now_s - 20, now_s - 10):
        message = prices.IngestTicksRequest(source=source, source_kind=market_pb2.SOURCE_KIND_REPLAY)
        for number in range(32):
            message.ticks.add(symbol=f"{source[-8:].upper()}{number}.XSIM", price=1.5, size=1, seq=ts_event_s).ts_event.FromSeconds(ts_event_s)
        yield message


@pytest.mark.parametrize("from_client", [True, False])
async def test_batches_sent_through_the_edge_begin_traces_or_go_on_in_their_clients(collected: tuple[Stack, Receiver], from_client: bool) -> None:
    stack, receiver = collected
    trace_id, client_id = os.urandom(16).hex(), os.urandom(8).hex()
    metadata = [("traceparent", f"00-{trace_id}-{client_id}-01")] if from_client else []
    before = len(receiver.spans())
    async with grpc.aio.insecure_channel(stack.edge) as channel:
        stub = prices_grpc.PricesServiceStub(channel)
        assert (await stub.IngestTicks(ticks(f"test:{trace_id[:8]}"), metadata=metadata, timeout=20)).rejected == 0

    def paths() -> list[list[ReceivedSpan]]:
        """From a bar to the beginning of its trace, of bars that such a batch closed."""
        bars = [span for span in receiver.spans()[before:] if span.name == "create market.bars.v1"]
        return [path for bar in bars if (path := path_of(receiver.trace(bar.trace_id), bar))[-1].process == "prices" and path[-1].parent_id == above]

    above = client_id if from_client else ""
    await eventually(lambda: bool(paths()), timeout_s=60)
    path = paths()[0]
    steps = [("prices-worker", "create market.bars.v1"), ("prices-worker", "process market.ticks.v1"), ("prices", "send market.ticks.v1")]
    steps += [("prices", "signalbox.prices.v1.PricesService/IngestTicks")] if from_client else []
    assert [(span.process, span.name) for span in path] == steps
    assert not from_client or path[0].trace_id == trace_id


async def _received(receiver: Receiver, trace_id: str, span_id: str) -> ReceivedSpan:
    await eventually(lambda: span_id in receiver.trace(trace_id), timeout_s=20)
    return receiver.trace(trace_id)[span_id]


def _only(trace: dict[str, ReceivedSpan], name: str) -> ReceivedSpan:
    (found,) = (span for span in trace.values() if span.name == name)
    return found
