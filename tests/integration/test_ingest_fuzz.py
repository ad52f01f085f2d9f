"""Anything at the gRPC door: every tick is accepted or rejected with a reason, what was accepted is in the topic, and the service goes on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import prices_service_pb2 as pb
from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceStub

from services.runtime.columns import decode_ticks
from services.runtime.kafka import Record, TopicReader
from services.runtime.topics import TICKS
from tests.integration.prices_process import PricesProcess
from tests.processes import wait_until
from tests.servers import new_broker

INGEST = "/signalbox.prices.v1.PricesService/IngestTicks"
SECOND = 10**9
#: A tick that nothing is wrong with, as a stream of its own.
GOOD = pb.IngestTick(symbol="ES.XCME", price=1640.25, size=1.0, seq=1)
GOOD.ts_event.FromNanoseconds(1_378_000_000 * SECOND)

#: Few examples: each is a stream through a real server to a real broker. Not made smaller either: each try is another source.
FEW = settings(
    max_examples=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Door:
    """The service, and what it wrote."""

    def __init__(self, bootstrap: str, process: PricesProcess) -> None:
        self.channel = grpc.insecure_channel(process.address)
        self.stub = PricesServiceStub(self.channel)
        self.records: list[Record] = []
        self.reader = TopicReader(bootstrap, [TICKS.name], self.records.extend)
        self.reader.start()
        self._names = 0

    def new_source(self) -> str:
        self._names += 1
        return f"fuzz:{self._names}"

    def rows_of(self, source: str) -> tuple[int, bool]:
        """Rows in the topic, and whether the source was ended."""
        batches = [batch for record in list(self.records) if (batch := decode_ticks(record.value)).source == source]
        return sum(len(batch) for batch in batches), any(batch.source_ended for batch in batches)

    def watermark_of(self, source: str) -> int:
        """The largest promise in the topic, UTC ns."""
        return max(batch.watermark for record in list(self.records) if (batch := decode_ticks(record.value)).source == source)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    home = tmp_path_factory.mktemp("door")
    with new_broker(home / "kafka") as broker:
        process = PricesProcess(broker.bootstrap, home / "log")
        try:
            asyncio.run(process.start())
            door = Door(broker.bootstrap, process)
            yield door
            door.reader.stop()
            door.channel.close()
        finally:
            process.kill()
            print(process.log()[-3000:])


SYMBOLS = st.one_of(st.sampled_from(("ES.XCME", "TEST.XSIM", "AAPL.XNAS", "es.xcme", "", "ES", "ES.XCME.X", "A" * 40 + ".X")), st.text(max_size=40))
NUMBERS = st.one_of(st.sampled_from((1.0, 1640.25, 0.0, -1.0, math.nan, math.inf, -math.inf, 1e300, 5e-324, 1.005)), st.floats())
TIMES = st.one_of(st.none(), st.sampled_from((0, 1_378_000_000, 7_258_118_400, 2**40, -1)), st.integers(-(2**62), 2**62))
SOURCES = st.none() | st.sampled_from(("", "fuzz:other", "FUZZ", "a" * 65, "a b", "\x00")) | st.text(max_size=5)
SEQS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))


@st.composite
def ticks(draw: st.DrawFn) -> pb.IngestTick:
    tick = pb.IngestTick(symbol=draw(SYMBOLS), price=draw(NUMBERS), size=draw(NUMBERS), seq=draw(SEQS))
    if (seconds := draw(TIMES)) is not None:
        tick.ts_event.seconds, tick.ts_event.nanos = seconds, draw(st.sampled_from((0, 999_999_999, -1, 2**31 - 1)))
    return tick


@FEW
@given(messages=st.lists(st.lists(ticks(), max_size=8), min_size=1, max_size=3), kind=st.sampled_from((0, 1, 2, 3)))
def test_accepted_and_rejected_are_all_that_was_sent(door: Door, messages: list[list[pb.IngestTick]], kind: int) -> None:
    source, sent = door.new_source(), sum(len(message) for message in messages) + 1
    requests = [pb.IngestTicksRequest(source=source, source_kind=market_pb2.SourceKind.Name(kind), ticks=message) for message in [*messages, [GOOD]]]
    answer = door.stub.IngestTicks(iter(requests), timeout=20)
    assert answer.accepted + answer.rejected == sent
    assert len(answer.rejections) == answer.rejected
    assert all(rejection.reason and rejection.detail for rejection in answer.rejections)
    wait_until(lambda: door.rows_of(source) == (answer.accepted, True), f"{answer.accepted} rows of {source}, and its end")


def answer_of(door: Door, requests: list[pb.IngestTicksRequest]) -> pb.IngestTicksResponse | grpc.StatusCode:
    """The answer to a stream, or how it was refused."""
    try:
        return door.stub.IngestTicks(iter(requests), timeout=20)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code


def outcome_of(door: Door, payloads: list[bytes]) -> str | grpc.StatusCode:
    """What becomes of a stream of these bytes."""
    call: Any = door.channel.stream_unary(INGEST, request_serializer=None, response_deserializer=pb.IngestTicksResponse.FromString)
    try:
        call(iter(payloads), timeout=20)
    except grpc.RpcError as error:
        return error.code()
    return "answered"


@FEW
@given(messages=st.lists(st.tuples(st.lists(ticks(), max_size=4), TIMES, SOURCES), min_size=1, max_size=3), kind=st.sampled_from((0, 1, 2, 3)))
def test_a_promise_or_a_name_that_is_wrong_ends_the_stream_and_its_source(
    door: Door, messages: list[tuple[list[pb.IngestTick], int | None, str | None]], kind: int
) -> None:
    """And a right promise comes through. The first message is in order, so that there is a source."""
    source = door.new_source()
    requests = [pb.IngestTicksRequest(source=source, source_kind=market_pb2.SourceKind.Name(kind), ticks=[GOOD])]
    for sent, watermark, name in messages:
        requests.append(pb.IngestTicksRequest(source=source if name is None else name, ticks=sent))
        if watermark is not None:
            requests[-1].watermark.seconds = watermark
    answer = answer_of(door, requests)
    if isinstance(answer, grpc.StatusCode):
        assert answer is grpc.StatusCode.INVALID_ARGUMENT
        wait_until(lambda: door.rows_of(source)[1], f"the end of {source}")
        return
    wait_until(lambda: door.rows_of(source) == (answer.accepted, True), f"{answer.accepted} rows of {source}, and its end")
    assert door.watermark_of(source) == max(0, *(watermark or 0 for _, watermark, _ in messages)) * SECOND
    assert all(name in {None, "", source} for _, _, name in messages)


@FEW
@given(payloads=st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_raw_bytes_are_an_answer_or_a_status(door: Door, payloads: list[bytes]) -> None:
    assert outcome_of(door, payloads) in {"answered", grpc.StatusCode.INVALID_ARGUMENT}
    source = door.new_source()
    assert (
        door.stub.IngestTicks(iter([pb.IngestTicksRequest(source=source, source_kind=market_pb2.SOURCE_KIND_REPLAY, ticks=[GOOD])]), timeout=20).accepted == 1
    )


def test_an_oversized_message_is_refused_and_the_next_client_is_served(door: Door) -> None:
    huge = pb.IngestTicksRequest(source=door.new_source(), source_kind=market_pb2.SOURCE_KIND_REPLAY, ticks=[GOOD] * 300_000)
    assert huge.ByteSize() > 8 << 20
    with pytest.raises(grpc.RpcError) as refused:
        door.stub.IngestTicks(iter([huge]), timeout=20)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    source = door.new_source()
    assert (
        door.stub.IngestTicks(iter([pb.IngestTicksRequest(source=source, source_kind=market_pb2.SOURCE_KIND_REPLAY, ticks=[GOOD])]), timeout=20).accepted == 1
    )
