"""The prices service on a real broker: ticks in, prices and bars out, and what it does when things go wrong."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from signalbox.events.v1.bar_batch_pb2 import Snapshot
from signalbox.events.v1.tick_batch_pb2 import Instrument
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import prices_service_pb2 as pb
from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceStub

from services.runtime.columns import TickColumns, decode_bars, decode_ticks, encode_bars
from services.runtime.headers import Headers, read_headers, record_headers
from services.runtime.kafka import Record, TopicReader, make_producer
from services.runtime.partitions import partition_of
from services.runtime.testing import eventually
from services.runtime.topics import BARS, SNAPSHOTS, TICKS
from tests.integration.prices_process import PricesProcess
from tests.servers import new_broker
from tests.unit.prices.bar_rows import bars

if TYPE_CHECKING:
    # In the type stubs only.
    from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceAsyncStub

PARTITIONS = 4
ES, NQ = "ES.XCME", "NQ.XCME"
_names = itertools.count(1)


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with new_broker(tmp_path_factory.mktemp("prices-kafka")) as broker:
        yield broker.bootstrap


@pytest.fixture(scope="module")
def prices(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PricesProcess]:
    process = PricesProcess(bootstrap, tmp_path_factory.mktemp("prices") / "log", SIGNALBOX_PRICES_BARS_PER_SERIES="2000")
    try:
        asyncio.run(process.start())
        yield process
    finally:
        process.kill()


@pytest.fixture
async def stub(prices: PricesProcess) -> AsyncIterator[PricesServiceAsyncStub]:
    async with grpc.aio.insecure_channel(prices.address) as channel:
        yield PricesServiceStub(channel)


@dataclass
class Batch:
    partition: int
    ticks: TickColumns
    headers: Headers


class TickTopic:
    """What arrived in market.ticks.v1, by source."""

    def __init__(self, bootstrap: str) -> None:
        self.records: list[Record] = []
        self.reader = TopicReader(bootstrap, [TICKS.name], self.records.extend)
        self.reader.start()

    def of(self, source: str) -> list[Batch]:
        found = [Batch(record.partition, decode_ticks(record.value), read_headers(record.headers)) for record in list(self.records)]
        return [batch for batch in found if batch.ticks.source == source]

    def rows(self, source: str) -> list[tuple[str, int, int, int]]:
        """Symbol, seq, price, size of each row."""
        rows = []
        for batch in self.of(source):
            for number, seq, price, size in zip(*(getattr(batch.ticks, name).tolist() for name in ("instrument", "seq", "price", "size")), strict=True):
                rows.append((batch.ticks.instruments[number].symbol, seq, price, size))
        return rows

    def ended(self, source: str) -> set[int]:
        return {batch.partition for batch in self.of(source) if batch.ticks.source_ended}


@pytest.fixture
def topic(bootstrap: str) -> Iterator[TickTopic]:
    topic = TickTopic(bootstrap)
    yield topic
    topic.reader.stop()


def new_source() -> str:
    return f"test:{next(_names)}"


def tick(symbol: str, price: float, seq: int | None = None, size: float = 1.0, ts: int | None = None) -> pb.IngestTick:
    made = pb.IngestTick(symbol=symbol, price=price, size=size, seq=seq)
    made.ts_event.FromNanoseconds(time.time_ns() if ts is None else ts)
    return made


def stamp(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds)


def details(error: grpc.aio.AioRpcError | grpc.Call) -> status_pb2.Status:
    trailing = dict(error.trailing_metadata() or ())
    data = trailing["grpc-status-details-bin"]
    return status_pb2.Status.FromString(data if isinstance(data, bytes) else data.encode())


def field_of(error: grpc.aio.AioRpcError) -> str:
    request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(request) for detail in details(error).details)
    return str(request.field_violations[0].field)


async def test_ticks_reach_their_partition_and_wrong_ones_are_named(stub: PricesServiceAsyncStub, topic: TickTopic) -> None:
    source = new_source()
    first = pb.IngestTicksRequest(
        source=source, source_kind=market_pb2.SOURCE_KIND_SYNTHETIC, ticks=[tick(ES, 1640.25, 1), tick("es", 1.0), tick(NQ, 3000.5, 1)]
    )
    second = pb.IngestTicksRequest(ticks=[tick(ES, 1.255, 2), tick(ES, 1640.5, 3, size=2)], watermark=stamp(int(time.time()) - 1))
    answer = await stub.IngestTicks(iter([first, second]), metadata=(("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),))
    assert (answer.accepted, answer.rejected) == (3, 2)
    assert [(item.index, item.symbol, item.reason) for item in answer.rejections] == [
        (1, "es", pb.REJECT_REASON_BAD_SYMBOL),
        (3, ES, pb.REJECT_REASON_BAD_PRICE),
    ]
    places = {partition_of(ES, PARTITIONS), partition_of(NQ, PARTITIONS)}
    await eventually(lambda: topic.ended(source) == places)
    assert sorted(topic.rows(source)) == [(ES, 1, 164025, 1), (ES, 3, 164050, 2), (NQ, 1, 300050, 1)]
    for batch in topic.of(source):
        assert {partition_of(item.symbol, PARTITIONS) for item in batch.ticks.instruments} <= {batch.partition}
        assert batch.ticks.source_kind == market_pb2.SOURCE_KIND_SYNTHETIC
        assert batch.headers.feed == source
        assert (batch.headers.traceparent or "").split("-")[1] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert all(any(batch.ticks.watermark for batch in topic.of(source) if batch.partition == place) for place in places)


async def test_sending_again_gives_the_same_identities(stub: PricesServiceAsyncStub, topic: TickTopic) -> None:
    source, moment = new_source(), time.time_ns()
    ticks = [tick(ES, 1640.25 + number, number, ts=moment) for number in range(1, 101)]
    for _ in range(2):
        answer = await stub.IngestTicks(iter([pb.IngestTicksRequest(source=source, ticks=ticks)]))
        assert answer.accepted == 100
    await eventually(lambda: len(topic.rows(source)) == 200)
    assert len(set(topic.rows(source))) == 100


async def test_large_messages_become_few_records(stub: PricesServiceAsyncStub, topic: TickTopic) -> None:
    source, moment = new_source(), time.time_ns()
    requests = [
        pb.IngestTicksRequest(source=source, ticks=[tick(ES, 1640.25, part * 10_000 + row, ts=moment) for row in range(1, 10_001)]) for part in range(3)
    ]
    answer = await stub.IngestTicks(iter(requests))
    assert (answer.accepted, answer.rejected) == (30_000, 0)
    await eventually(lambda: topic.ended(source))
    assert [seq for _, seq, _, _ in topic.rows(source)] == list(range(1, 30_001))
    assert len(topic.of(source)) <= 8


async def test_a_client_that_cancels_leaves_nothing_open(stub: PricesServiceAsyncStub, topic: TickTopic) -> None:
    source = new_source()
    call = stub.IngestTicks()
    await call.write(pb.IngestTicksRequest(source=source, ticks=[tick(ES, 1640.25, 1)]))
    await eventually(lambda: topic.rows(source))
    await call.write(pb.IngestTicksRequest(ticks=[tick(NQ, 3000.5, 1)]))
    await eventually(lambda: len(topic.rows(source)) == 2)
    call.cancel()
    await eventually(lambda: topic.ended(source) == {partition_of(ES, PARTITIONS), partition_of(NQ, PARTITIONS)})


async def test_a_source_is_wanted_and_may_not_change(stub: PricesServiceAsyncStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.IngestTicks(iter([pb.IngestTicksRequest(ticks=[tick(ES, 1.0)])]))
    assert (error.value.code(), field_of(error.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "source")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.IngestTicks(iter([pb.IngestTicksRequest(source=new_source()), pb.IngestTicksRequest(source=new_source())]))
    assert (error.value.code(), field_of(error.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "source")


async def test_a_message_that_is_refused_as_a_whole_is_counted(stub: PricesServiceAsyncStub, prices: PricesProcess) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.IngestTicks(iter([pb.IngestTicksRequest(source=new_source(), ticks=[tick(ES, 1640.25)] * 10_001)]))
    assert (error.value.code(), field_of(error.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "ticks")
    assert 'signalbox_prices_ingest_rejected_total{reason="message_too_large"} 10001.0' in prices.metrics()


def publish(bootstrap: str, topic: str, partition: int, values: list[bytes], key: bytes | None = None) -> None:
    producer = make_producer(bootstrap)
    (message,) = (each.message for each in (BARS, SNAPSHOTS) if each.name == topic)
    headers: list[tuple[str, str | bytes | None]] = [*record_headers(message, "test")]
    for value in values:
        producer.produce(topic, value, key, partition, headers=headers)
    assert producer.flush(20) == 0


async def pages(stub: PricesServiceAsyncStub, request: pb.ListBarsRequest) -> list[pb.ListBarsResponse]:
    found = [await stub.ListBars(request)]
    while found[-1].next_page_token:
        request.page_token = found[-1].next_page_token
        found.append(await stub.ListBars(request))
    return found


async def test_bars_come_in_pages_of_one_moment_while_more_arrive(stub: PricesServiceAsyncStub, bootstrap: str) -> None:
    symbol = f"PAGE{next(_names)}.XCME"
    place = partition_of(symbol, PARTITIONS)
    publish(bootstrap, BARS.name, place, [encode_bars(bars(symbol, 60, [minute * 60])) for minute in range(100)])
    publish(bootstrap, BARS.name, place, [encode_bars(bars(symbol, 60, [minute * 60])) for minute in range(50, 100)])

    async def all_there() -> bool:
        return len((await stub.ListBars(pb.ListBarsRequest(symbol=symbol))).bars) == 100

    await eventually_found(all_there)
    request = pb.ListBarsRequest(symbol=symbol, interval_name="1m", page_size=30)
    first = await stub.ListBars(request)
    publish(bootstrap, BARS.name, place, [encode_bars(bars(symbol, 60, [minute * 60])) for minute in range(100, 120)])
    await eventually_found(lambda: has_bars(stub, symbol, 120))
    found = [first, *(await pages(stub, pb.ListBarsRequest(symbol=symbol, interval_name="1m", page_size=30, page_token=first.next_page_token)))]
    assert [bar.ts_open.seconds for page in found for bar in page.bars] == [minute * 60 for minute in range(100)]
    assert {page.position.next_offset for page in found} == {first.position.next_offset}
    assert {(page.position.topic, page.position.partition, page.origin_ts.seconds) for page in found} == {(BARS.name, place, 0)}
    # The first page may have been answered before the repeated records were read; a reader drops identities it has.
    later = [opened for opened in await rows_from(bootstrap, symbol, first.position) if opened not in range(0, 6000, 60)]
    assert later == [minute * 60 for minute in range(100, 120)], "the position continues the answer without a gap"


async def has_bars(stub: PricesServiceAsyncStub, symbol: str, count: int) -> bool:
    return len((await stub.ListBars(pb.ListBarsRequest(symbol=symbol, page_size=5000))).bars) == count


async def eventually_found(check: Callable[[], Awaitable[object]]) -> None:
    async def found() -> bool:
        try:
            return bool(await check())
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return False
            raise

    await eventually(found)


async def rows_from(bootstrap: str, symbol: str, position: pb.TopicPosition) -> list[int]:
    """Open times, in seconds, of the symbol's rows from a position on."""
    records: list[Record] = []
    reader = TopicReader(bootstrap, [position.topic], records.extend, start={(position.topic, position.partition): position.next_offset})
    reader.start()
    await reader.wait_caught_up()
    await asyncio.to_thread(reader.stop)
    batches = [decode_bars(record.value) for record in records if record.partition == position.partition]
    return [int(ts) // 10**9 for batch in batches if batch.instruments[0].symbol == symbol for ts in batch.ts_open]


async def test_streamed_bars_equal_listed_bars(stub: PricesServiceAsyncStub, bootstrap: str) -> None:
    symbol = f"PAGE{next(_names)}.XCME"
    publish(bootstrap, BARS.name, partition_of(symbol, PARTITIONS), [encode_bars(bars(symbol, 1, list(range(5000))))])
    await eventually_found(lambda: stub.ListBars(pb.ListBarsRequest(symbol=symbol, interval=market_pb2.INTERVAL_1S)))
    listed = await pages(stub, pb.ListBarsRequest(symbol=symbol, interval=market_pb2.INTERVAL_1S, page_size=700))
    streamed = [part async for part in stub.StreamBars(pb.StreamBarsRequest(symbol=symbol, interval=market_pb2.INTERVAL_1S))]
    assert [bar for page in listed for bar in page.bars] == [bar for part in streamed for bar in part.bars]
    assert [bar.ts_open.seconds for part in streamed for bar in part.bars] == list(range(3000, 5000)), "the oldest above the limit are gone"
    assert {part.origin_ts.seconds for part in streamed} == {3000}


async def test_ranges_tokens_and_wrong_requests(stub: PricesServiceAsyncStub, bootstrap: str) -> None:
    symbol = f"PAGE{next(_names)}.XCME"
    publish(bootstrap, BARS.name, partition_of(symbol, PARTITIONS), [b"junk", encode_bars(bars(symbol, 60, [minute * 60 for minute in range(10)]))])
    await eventually_found(lambda: has_bars(stub, symbol, 10))
    ranged = await stub.ListBars(pb.ListBarsRequest(symbol=symbol, start=stamp(60), end=stamp(300), last=2))
    assert [bar.ts_open.seconds for bar in ranged.bars] == [180, 240]
    token = (await stub.ListBars(pb.ListBarsRequest(symbol=symbol, page_size=3))).next_page_token
    wrong = [
        (pb.ListBarsRequest(symbol=symbol, page_size=4, page_token=token), "page_token"),
        (pb.ListBarsRequest(symbol=symbol, page_token="junk"), "page_token"),
        (pb.ListBarsRequest(symbol="x"), "symbol"),
        (pb.ListBarsRequest(symbol=symbol, interval_name="7x"), "interval_name"),
        (pb.ListBarsRequest(symbol=symbol, page_size=5001), "page_size"),
        (pb.ListBarsRequest(symbol=symbol, last=-1), "last"),
        (pb.ListBarsRequest(symbol=symbol, start=stamp(5), end=stamp(4)), "end"),
        (pb.ListBarsRequest(symbol=symbol, start=stamp(-5)), "start"),
    ]
    for request, field in wrong:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.ListBars(request)
        assert (error.value.code(), field_of(error.value)) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.ListBars(pb.ListBarsRequest(symbol=symbol, interval_name="1h"))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_series_are_listed_in_pages(stub: PricesServiceAsyncStub, bootstrap: str) -> None:
    symbols = sorted(f"LIST{next(_names)}.XCME" for _ in range(3))
    for symbol in symbols:
        publish(bootstrap, BARS.name, partition_of(symbol, PARTITIONS), [encode_bars(bars(symbol, 60, [0, 60]))])
        await eventually_found(partial(has_bars, stub, symbol, 2))
    found, token = list[pb.Series](), ""
    while True:
        page = await stub.ListSeries(pb.ListSeriesRequest(page_size=2, page_token=token))
        found += page.series
        token = page.next_page_token
        if not token:
            break
    ours = [item for item in found if item.symbol in symbols]
    assert [item.symbol for item in ours] == symbols
    assert {(item.interval, item.bars, item.first.seconds, item.last.seconds) for item in ours} == {(market_pb2.INTERVAL_1M, 2, 0, 60)}


async def test_prices_from_trades_and_from_daily_bars(stub: PricesServiceAsyncStub, bootstrap: str) -> None:
    traded, daily, unknown = f"TRADE{next(_names)}.XCME", f"DAILY{next(_names)}.XNAS", "NOBODY.XNAS"
    day = 86_400
    for symbol in (traded, daily):
        values = [encode_bars(bars(symbol, day, [number * day for number in range(3)], close=[9_900, 10_000, 10_100]))]
        publish(bootstrap, BARS.name, partition_of(symbol, PARTITIONS), values)
    snapshot = Snapshot(instrument=Instrument(symbol=traded, price_digits=2), price=10_050, size=3, ts_event=(2 * day + 5) * 10**9, ts_recv=7, source_kind=1)  # type: ignore[arg-type]
    publish(bootstrap, SNAPSHOTS.name, partition_of(traded, PARTITIONS), [snapshot.SerializeToString()], traded.encode())

    async def both() -> bool:
        answer = await stub.BatchGetPrices(pb.BatchGetPricesRequest(symbols=[traded, unknown, daily]))
        return [price.from_bar for price in answer.prices] == [0, market_pb2.INTERVAL_1D]

    await eventually_found(both)
    answer = await stub.BatchGetPrices(pb.BatchGetPricesRequest(symbols=[traded, unknown, daily]))
    assert [(price.symbol, price.price, price.previous_close) for price in answer.prices] == [(traded, 100.5, 100.0), (daily, 101.0, 100.0)]
    assert list(answer.missing) == [unknown]
    assert (await stub.GetPrice(pb.GetPriceRequest(symbol=daily))).price == answer.prices[1]
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.GetPrice(pb.GetPriceRequest(symbol=unknown))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.BatchGetPrices(pb.BatchGetPricesRequest())
    assert field_of(error.value) == "symbols"


async def test_health_and_metrics(prices: PricesProcess) -> None:
    async with grpc.aio.insecure_channel(prices.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)

        async def serving() -> bool:
            answer = await health.Check(health_pb2.HealthCheckRequest(service="signalbox.prices.v1.PricesService"))
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        await eventually(serving)
        with pytest.raises(grpc.aio.AioRpcError):
            await PricesServiceStub(channel).ListBars(pb.ListBarsRequest(symbol="not a symbol"))
    text = prices.metrics()
    assert 'signalbox_grpc_server_handled_total{code="INVALID_ARGUMENT",method="/signalbox.prices.v1.PricesService/ListBars"}' in text
    assert "process_resident_memory_bytes" in text


async def test_a_broker_that_dies_in_the_middle(tmp_path: Path) -> None:
    broker = new_broker(tmp_path / "kafka")
    with broker:
        process = PricesProcess(broker.bootstrap, tmp_path / "log", SIGNALBOX_INGEST_ACK_TIMEOUT_MS="1500")
        try:
            await process.start()
            accepted, source = await ingest_until_the_broker_dies(process, broker.kill)
            await eventually(lambda: process.readiness()[0] == 503)
            assert "kafka" in process.readiness()[1]
            broker.start()
            await eventually(lambda: process.readiness()[0] == 200, timeout_s=40.0)
            topic = TickTopic(broker.bootstrap)
            await topic.reader.wait_caught_up()
            kept = {seq for _, seq, _, _ in topic.rows(source)}
            assert set(range(1, accepted + 1)) <= kept, "everything that was counted is there"
            async with grpc.aio.insecure_channel(process.address) as channel:
                again = [pb.IngestTicksRequest(source=source, ticks=[tick(ES, 1640.25, accepted + 1)])]
                assert (await PricesServiceStub(channel).IngestTicks(iter(again))).accepted == 1
            await eventually(lambda: topic.ended(source))
            topic.reader.stop()
            process.terminate()
            assert process.wait() == 0
        finally:
            process.kill()


async def ingest_until_the_broker_dies(process: PricesProcess, kill: Callable[[], None]) -> tuple[int, str]:
    """Accepted ticks as the error says, and the source."""
    source = new_source()
    async with grpc.aio.insecure_channel(process.address) as channel:
        call = PricesServiceStub(channel).IngestTicks()
        await call.write(pb.IngestTicksRequest(source=source, ticks=[tick(ES, 1640.25, seq) for seq in range(1, 501)]))
        await eventually(lambda: 'ingest_accepted_total{source_kind="live"} 500.0' in process.metrics())
        kill()
        await call.write(pb.IngestTicksRequest(ticks=[tick(ES, 1640.25, seq) for seq in range(501, 601)]))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "500 ticks of this stream were accepted" in (error.value.details() or "")
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in details(error.value).details)
    assert (info.reason, info.metadata["accepted"]) == ("INGEST_INTERRUPTED", "500")
    return 500, source


async def test_it_drains_on_sigterm_with_a_stream_open(bootstrap: str, topic: TickTopic, tmp_path: Path) -> None:
    source = new_source()
    process = PricesProcess(bootstrap, tmp_path / "log")
    try:
        await process.start()
        async with grpc.aio.insecure_channel(process.address) as channel:
            call = PricesServiceStub(channel).IngestTicks()
            await call.write(pb.IngestTicksRequest(source=source, ticks=[tick(ES, 1640.25, 1)]))
            await eventually(lambda: topic.rows(source))
            process.terminate()
            assert await asyncio.to_thread(process.wait, 10.0) == 0
        await eventually(lambda: topic.ended(source))
    finally:
        process.kill()


async def test_what_a_client_sends_while_the_process_ends_and_starts_is_all_there(bootstrap: str, topic: TickTopic, tmp_path: Path) -> None:
    """About 10,000 ticks/s over SIGTERM and a new start: the client sends again from where it was not told that all was settled."""
    source, first, moment = new_source(), PricesProcess(bootstrap, tmp_path / "log"), time.time_ns()
    second = PricesProcess(bootstrap, tmp_path / "log")
    ticks = [tick(NQ if seq % 3 else ES, 1640.25, seq, size=1 + seq % 7, ts=moment + seq) for seq in range(1, 30_001)]
    try:
        await first.start()
        sending = asyncio.create_task(asyncio.to_thread(interrupted, first, source, ticks))
        await eventually(lambda: len(topic.rows(source)) > 2_000)
        first.terminate()
        info = await sending
        assert await asyncio.to_thread(first.wait, 10.0) == 0
        assert info.reason == "INGEST_STOPPED"
        settled = int(info.metadata["settled"])
        assert 0 < settled == int(info.metadata["accepted"]) < len(ticks)
        await eventually(lambda: topic.ended(source))
        assert {seq for _, seq, _, _ in topic.rows(source)} >= set(range(1, settled + 1)), "what was settled is kept"
        await second.start()
        with grpc.insecure_channel(second.address) as channel:
            answer = await asyncio.to_thread(PricesServiceStub(channel).IngestTicks, paced(source, ticks[settled:]))
        assert answer.accepted == len(ticks) - settled
        sent = {(item.symbol, item.seq): int(item.size) for item in ticks}
        await eventually(lambda: {(symbol, seq): size for symbol, seq, _, size in topic.rows(source)} == sent)
    finally:
        first.kill()
        second.kill()


def interrupted(process: PricesProcess, source: str, ticks: list[pb.IngestTick]) -> error_details_pb2.ErrorInfo:
    """What the server says when it ends a stream.

    The client is the blocking one: grpc.aio puts INTERNAL of its own in place of the server's answer when its next write meets the end of the stream.
    """
    with grpc.insecure_channel(process.address) as channel, pytest.raises(grpc.RpcError) as error:
        PricesServiceStub(channel).IngestTicks(paced(source, ticks))
    ended = cast("grpc.Call", error.value)
    assert ended.code() is grpc.StatusCode.UNAVAILABLE
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in details(ended).details)
    return info


def paced(source: str, ticks: list[pb.IngestTick]) -> Iterator[pb.IngestTicksRequest]:
    """100 ticks every 10 ms."""
    for begin in range(0, len(ticks), 100):
        yield pb.IngestTicksRequest(source=source, ticks=ticks[begin : begin + 100])
        time.sleep(0.01)


@pytest.mark.parametrize("parser", ["columns", "plain"])
async def test_both_parsers_give_the_same_answer_and_the_same_rows(bootstrap: str, topic: TickTopic, tmp_path: Path, parser: str) -> None:
    source, moment = new_source(), time.time_ns()
    process = PricesProcess(bootstrap, tmp_path / "log", SIGNALBOX_INGEST_PARSER=parser)
    ticks = [tick(NQ if row % 3 else ES, 1640.25 if row % 5 else -1.0, row, ts=moment - row) for row in range(1, 1001)]
    try:
        await process.start()
        async with grpc.aio.insecure_channel(process.address) as channel:
            answer = await PricesServiceStub(channel).IngestTicks(iter([pb.IngestTicksRequest(source=source, ticks=ticks)]))
        assert (answer.accepted, answer.rejected) == (800, 200)
        assert [item.index for item in answer.rejections] == list(range(4, 1000, 5))
        await eventually(lambda: topic.ended(source) == {partition_of(ES, PARTITIONS), partition_of(NQ, PARTITIONS)})
        rows = sorted(topic.rows(source), key=lambda row: row[1])
        assert rows == [(NQ if row % 3 else ES, row, 164025, 1) for row in range(1, 1001) if row % 5]
    finally:
        process.kill()


async def test_a_port_in_use_is_said_plainly(prices: PricesProcess, bootstrap: str, tmp_path: Path) -> None:
    second = PricesProcess(bootstrap, tmp_path / "log", SIGNALBOX_PRICES_PORT=str(prices.port))
    second.launch()
    assert await asyncio.to_thread(second.wait, 30.0) == 1
    assert f"gRPC: cannot listen on 127.0.0.1:{prices.port}" in second.log()
