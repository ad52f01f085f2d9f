"""Streams of ticks become batches by partition; what was acknowledged is counted, and a source that ends holds nothing back."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from signalbox.prices.v1 import prices_service_pb2 as pb

from services.prices.adapters.kafka import KafkaTickSink
from services.prices.adapters.open_sources import KafkaOpenSources
from services.prices.adapters.rejected import KafkaRejectedTicks
from services.prices.admission import Reason, SentTicks
from services.prices.batching import BUSY_ROWS
from services.prices.errors import IngestBacklogged, IngestInterrupted, IngestStopped, SourceChanged
from services.prices.ingest import Ingest
from services.prices.ingest_stream import MAX_REJECTIONS, IngestPorts, IngestSettings, Message
from services.prices.metrics import REJECTIONS_NOT_PUBLISHED
from services.runtime.columns import TickColumns, decode_ticks
from services.runtime.errors import InvalidArgument, Unavailable
from services.runtime.headers import read_headers
from services.runtime.partitions import partition_of
from services.runtime.telemetry import span_from
from services.runtime.testing import ManualClock, eventually
from services.runtime.testing.kafka import MemoryPublisher

PARTITIONS = 4
ES, NQ = "ES.XCME", "NQ.XCME"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Door:
    """An Ingest over a publisher in memory."""

    def __init__(self, *, flush_s: float = 0.0, batch_rows: int = 1000, ack_timeout_s: float = 5.0, capacity: int = 1000) -> None:
        self.clock = ManualClock()
        self.kafka = MemoryPublisher(capacity)
        rejected = KafkaRejectedTicks(self.kafka, self.clock, limit_per_minute=500)
        ports = IngestPorts(KafkaTickSink(self.kafka), KafkaOpenSources(self.kafka, "0"), rejected)
        self.ingest = Ingest(ports, self.clock, IngestSettings(PARTITIONS, flush_s, batch_rows, ack_timeout_s))

    def batches(self, partition: int | None = None) -> list[tuple[int, TickColumns]]:
        return [(record.partition, decode_ticks(record.value)) for record in self.kafka.of("market.ticks.v1", partition)]

    def left_open(self) -> list[str]:
        """What the next start would end."""
        last = {record.key: record.value for record in self.kafka.of("prices.sources.v1")}
        return sorted((key or b"").decode() for key, value in last.items() if value)

    def message(self, *rows: tuple[str, float], source: str = "", kind: int = 0, watermark: int = 0, seq: int = 1) -> Message:
        count = len(rows)
        ticks = SentTicks(
            [symbol for symbol, _ in rows],
            np.arange(count),
            np.full(count, self.clock.now_ns()),
            np.array([price for _, price in rows], float),
            np.ones(count),
            np.arange(seq, seq + count),
        )
        return Message(source, kind, ticks, watermark)


async def of(messages: Sequence[Message]) -> AsyncIterator[Message]:
    for message in messages:
        yield message


def test_the_two_symbols_are_of_different_partitions() -> None:
    assert partition_of(ES, PARTITIONS) != partition_of(NQ, PARTITIONS)


async def test_rows_go_to_their_partition_in_order_and_are_counted() -> None:
    door = Door()
    result = await door.ingest.run(of([door.message((ES, 1.25), (NQ, 2.0), (ES, 1.5), source="test:a"), door.message((ES, 1.75), seq=4)]))
    assert (result.accepted, result.rejected) == (4, 0)
    rows = [
        (batch.instruments[number].symbol, price)
        for partition, batch in door.batches()
        for number, price in zip(batch.instrument.tolist(), batch.price.tolist(), strict=True)
        if partition == partition_of(batch.instruments[number].symbol, PARTITIONS)
    ]
    assert [price for symbol, price in rows if symbol == ES] == [125, 150, 175]
    assert [price for symbol, price in rows if symbol == NQ] == [200]
    assert {(batch.source, batch.source_kind) for _, batch in door.batches()} == {("test:a", 1)}


async def test_the_end_is_told_to_every_partition_and_only_once_each() -> None:
    door = Door()
    await door.ingest.run(of([door.message((ES, 1.0), (NQ, 2.0), source="test:a")]))
    for symbol in (ES, NQ):
        ends = [batch.source_ended for _, batch in door.batches(partition_of(symbol, PARTITIONS))]
        assert ends == [False, True]


async def test_a_source_ends_with_the_last_of_its_streams() -> None:
    door = Door()
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[Message]:
        yield door.message((ES, 1.0), source="test:a")
        await gate.wait()

    first = asyncio.create_task(door.ingest.run(slow()))
    await eventually(lambda: len(door.batches()) == 1)
    await door.ingest.run(of([door.message((NQ, 2.0), source="test:a")]))
    assert not any(batch.source_ended for _, batch in door.batches())
    gate.set()
    await first
    assert sorted(partition for partition, batch in door.batches() if batch.source_ended) == sorted(partition_of(symbol, PARTITIONS) for symbol in (ES, NQ))


async def test_the_watermark_goes_to_every_partition_of_the_source() -> None:
    door = Door(flush_s=60.0)
    now = door.clock.now_ns()
    await door.ingest.run(of([door.message((ES, 1.0), (NQ, 2.0), source="test:a"), door.message(watermark=now), door.message(watermark=now - 5)]))
    for symbol in (ES, NQ):
        marks = [batch.watermark for _, batch in door.batches(partition_of(symbol, PARTITIONS))]
        assert marks == [now, now]


async def test_a_watermark_reaches_a_partition_that_is_written_to_later() -> None:
    door = Door()
    mark = door.clock.now_ns() - 10
    await door.ingest.run(of([door.message(source="test:a", watermark=mark), door.message((ES, 1.0))]))
    assert [(batch.watermark, len(batch)) for _, batch in door.batches()] == [(mark, 1), (mark, 0)]


async def test_a_promise_about_the_future_is_refused_but_from_a_replay() -> None:
    door = Door()
    ahead = door.clock.now_ns() + 6 * 10**9
    with pytest.raises(InvalidArgument, match="watermark"):
        await door.ingest.run(of([door.message((ES, 1.0), source="test:a", watermark=ahead)]))
    result = await door.ingest.run(of([door.message((ES, 1.0), source="replay:a", kind=2, watermark=ahead)]))
    assert result.accepted == 1


async def test_full_batches_go_at_once_and_small_ones_together() -> None:
    door = Door(flush_s=60.0, batch_rows=3)
    messages = [door.message((ES, 1.0), source="test:a", seq=number) for number in range(1, 8)]
    await door.ingest.run(of(messages))
    assert [len(batch) for _, batch in door.batches()] == [3, 3, 1, 0]


async def test_rows_do_not_wait_longer_than_the_flush_time() -> None:
    door = Door(flush_s=0.02)
    gate = asyncio.Event()

    async def pausing() -> AsyncIterator[Message]:
        yield door.message((ES, 1.0), source="test:a")
        await gate.wait()

    def sent() -> bool:
        door.clock.advance(0.02)
        return len(door.batches()) == 1

    stream = asyncio.create_task(door.ingest.run(pausing()))
    await eventually(sent)
    gate.set()
    assert (await stream).accepted == 1


@pytest.mark.parametrize(("count", "longest_s"), [(BUSY_ROWS - 1, 0.02), (BUSY_ROWS, 0.04)])
async def test_a_batch_that_fills_quickly_waits_twice_as_long(count: int, longest_s: float) -> None:
    door = Door(flush_s=0.02)
    gate = asyncio.Event()

    async def pausing() -> AsyncIterator[Message]:
        yield door.message(*[(ES, 1.0)] * count, source="test:a")
        await gate.wait()

    waited_s = 0.0

    def sent() -> bool:
        nonlocal waited_s
        if not door.batches():
            door.clock.advance(0.005)
            waited_s += 0.005
        return len(door.batches()) == 1

    stream = asyncio.create_task(door.ingest.run(pausing()))
    await eventually(sent)
    assert waited_s >= longest_s - 0.001
    gate.set()
    assert (await stream).accepted == count


async def test_headers_name_the_feed_and_the_trace() -> None:
    door = Door()
    with span_from(TRACE, "call"):
        await door.ingest.run(of([door.message((ES, 1.0), (NQ, 1.0), source="test:a")]))
    headers = [read_headers(record.headers) for record in door.kafka.of("market.ticks.v1")]
    assert {(item.schema, item.feed) for item in headers} == {("signalbox.events.v1.TickBatch", "test:a")}
    assert {(item.traceparent or "").split("-")[1] for item in headers} == {TRACE.split("-")[1]}
    assert len({item.ce_id for item in headers}) == len(headers)


@pytest.mark.parametrize(
    ("first", "later", "error"),
    [
        ({"source": ""}, {}, InvalidArgument),
        ({"source": "test:a"}, {"source": "test:b"}, SourceChanged),
        ({"source": "test:a", "kind": 2}, {"kind": 3}, SourceChanged),
    ],
)
async def test_a_stream_has_one_source(first: dict[str, str], later: dict[str, str], error: type[Exception]) -> None:
    door = Door()
    with pytest.raises(error):
        await door.ingest.run(of([door.message((ES, 1.0), **first), door.message((ES, 1.0), **later)]))  # type: ignore[arg-type]
    await door.ingest.drain()
    assert [batch.source_ended for _, batch in door.batches()][-1:] == ([True] if first["source"] else [])


async def test_open_streams_of_a_source_agree_on_its_kind() -> None:
    door = Door()
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[Message]:
        yield door.message((ES, 1.0), source="test:a")
        await gate.wait()

    first = asyncio.create_task(door.ingest.run(slow()))
    await eventually(door.batches)
    with pytest.raises(InvalidArgument, match="source_kind: expected 'live', as another open stream"):
        await door.ingest.run(of([door.message((ES, 1.0), source="test:a", kind=3)]))
    gate.set()
    assert (await first).accepted == 1
    await door.ingest.drain()
    assert (await door.ingest.run(of([door.message((ES, 1.0), source="test:a", kind=3)]))).accepted == 1


async def test_rejections_count_from_the_beginning_of_the_stream_and_are_capped() -> None:
    door = Door()
    bad = [("ES.XCME", -1.0)] * 600
    result = await door.ingest.run(of([door.message((ES, 1.0), *bad, source="test:a"), door.message(*bad), door.message((ES, 1.0))]))
    assert (result.accepted, result.rejected, len(result.rejections)) == (2, 1200, MAX_REJECTIONS)
    assert [item.index for item in result.rejections] == list(range(1, MAX_REJECTIONS + 1))
    assert {item.reason for item in result.rejections} == {Reason.BAD_PRICE}


async def test_a_broker_that_goes_away_ends_the_stream_with_what_was_accepted() -> None:
    door = Door()
    gate = asyncio.Event()

    async def messages() -> AsyncIterator[Message]:
        yield door.message((ES, 1.0), (ES, 1.25), source="test:a")
        await eventually(lambda: door.kafka.records)
        door.kafka.away = True
        yield door.message((ES, 1.5))
        await gate.wait()

    with pytest.raises(IngestInterrupted, match="2 ticks of this stream were accepted") as error:
        await door.ingest.run(messages())
    assert error.value.metadata() == {"accepted": "2", "rejected": "0", "settled": "2"}
    await door.ingest.drain()
    door.kafka.away = False
    await door.ingest.run(of([door.message((NQ, 1.0), source="test:a")]))
    ended = {partition for partition, batch in door.batches() if batch.source_ended}
    assert ended == {partition_of(ES, PARTITIONS), partition_of(NQ, PARTITIONS)}, "the next stream ends what the first could not"


async def test_a_full_queue_is_waited_for_and_then_an_error() -> None:
    door = Door(ack_timeout_s=0.05, capacity=1)
    door.kafka.held = True
    with pytest.raises(IngestBacklogged, match="0 ticks of this stream were accepted"):
        await door.ingest.run(of([door.message((ES, 1.0), source="test:a"), door.message((ES, 1.0)), door.message((ES, 1.0))]))
    door.kafka.release()
    await door.ingest.drain()


async def test_while_the_queue_is_full_the_stream_is_not_read() -> None:
    door = Door(ack_timeout_s=60.0, capacity=2)
    read = 0

    async def messages() -> AsyncIterator[Message]:
        nonlocal read
        for number in range(20):
            read += 1
            yield door.message((ES, 1.0), source="test:a", seq=number + 1)
            if not number:
                await eventually(door.batches)
                door.kafka.held = True

    stream = asyncio.create_task(door.ingest.run(messages()))
    await eventually(lambda: read >= 3)
    for _ in range(50):
        await asyncio.sleep(0)
    assert read <= 5
    door.kafka.release()
    assert (await stream).accepted == 20


async def test_a_cancelled_stream_keeps_what_was_read_and_ends_its_source() -> None:
    door = Door(flush_s=60.0)
    reading = asyncio.Event()

    async def messages() -> AsyncIterator[Message]:
        yield door.message((ES, 1.0), source="test:a")
        reading.set()
        await asyncio.Event().wait()

    stream = asyncio.create_task(door.ingest.run(messages()))
    await reading.wait()
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    await door.ingest.drain()
    assert [(len(batch), batch.source_ended) for _, batch in door.batches()] == [(1, False), (0, True)]


async def test_an_empty_stream_writes_nothing() -> None:
    door = Door()
    result = await door.ingest.run(of([]))
    assert (result.accepted, door.kafka.records) == (0, [])


async def stopped(door: Door, messages: list[Message]) -> IngestStopped:
    """What a stream that stays open is told when the process ends after these messages."""
    reading = asyncio.Event()

    async def staying_open() -> AsyncIterator[Message]:
        for message in messages:
            yield message
        reading.set()
        await asyncio.Event().wait()

    stream = asyncio.create_task(door.ingest.run(staying_open()))
    await reading.wait()
    await door.ingest.stop()
    with pytest.raises(IngestStopped) as error:
        await stream
    return error.value


async def test_when_the_process_ends_a_stream_is_told_how_far_it_came() -> None:
    door = Door(flush_s=60.0)
    error = await stopped(door, [door.message((ES, 1.0), (NQ, 2.0), ("ES.XCME", -1.0), source="test:a"), door.message((ES, 1.25), seq=4)])
    assert error.metadata() == {"accepted": "3", "rejected": "1", "settled": "4"}
    await door.ingest.drain()
    assert sorted(price for _, batch in door.batches() for price in batch.price.tolist()) == [100, 125, 200]
    assert sum(batch.source_ended for _, batch in door.batches()) == 2
    with pytest.raises(IngestStopped, match="0 ticks"):
        await door.ingest.run(of([door.message((ES, 1.5), source="test:a")]))


async def test_what_the_broker_has_not_acknowledged_is_to_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.prices.ingest_stream._STOPPING_S", 0.02)
    monkeypatch.setattr("services.prices.ingest._ENDING_S", 0.02)
    door = Door(batch_rows=1)

    async def messages() -> AsyncIterator[Message]:
        yield door.message((ES, 1.0), (ES, 1.25), source="test:a")
        await eventually(lambda: door.kafka.records)
        door.kafka.held = True
        yield door.message((ES, 2.0), seq=3)
        yield door.message((ES, -1.0), (ES, 1.5), seq=4)
        reading.set()
        await asyncio.Event().wait()

    reading = asyncio.Event()
    stream = asyncio.create_task(door.ingest.run(messages()))
    await reading.wait()
    await door.ingest.stop()
    with pytest.raises(IngestStopped, match="from position 2 on") as error:
        await stream
    assert error.value.metadata() == {"accepted": "2", "rejected": "1", "settled": "2"}
    with pytest.raises(Unavailable, match="1 streams' sources were not ended"):
        await door.ingest.drain()
    door.kafka.release()


async def test_a_stream_that_waits_for_room_ends_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.prices.ingest_stream._STOPPING_S", 0.02)
    door = Door(batch_rows=1, ack_timeout_s=60.0, capacity=1)
    door.kafka.held = True
    stream = asyncio.create_task(door.ingest.run(of([door.message((ES, 1.0), source="test:a"), door.message((ES, 1.25), seq=2)])))
    await eventually(lambda: door.kafka.queued)
    for _ in range(20):
        await asyncio.sleep(0)
    await door.ingest.stop()
    with pytest.raises(IngestStopped, match="from position 0 on"):
        await stream
    door.kafka.release()


async def test_a_client_that_has_finished_when_the_process_ends_gets_its_answer() -> None:
    door = Door()

    async def messages() -> AsyncIterator[Message]:
        yield door.message((ES, 1.0), source="test:a")
        await eventually(door.batches)
        door.kafka.held = True
        yield door.message((ES, 1.25), seq=2)

    stream = asyncio.create_task(door.ingest.run(messages()))
    await eventually(lambda: door.kafka.queued)
    await door.ingest.stop()
    await asyncio.sleep(0)
    door.kafka.release()
    assert (await stream).accepted == 2
    await door.ingest.drain()
    assert [batch.source_ended for _, batch in door.batches()] == [False, False, True]


async def test_what_is_open_is_kept_before_its_first_tick_until_its_end() -> None:
    door = Door(batch_rows=1)
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[Message]:
        yield door.message((ES, 1.0), (NQ, 2.0), source="test:a")
        await gate.wait()

    stream = asyncio.create_task(door.ingest.run(slow()))
    await eventually(lambda: len(door.batches()) == 2)
    places = sorted(partition_of(symbol, PARTITIONS) for symbol in (ES, NQ))
    assert door.left_open() == [f"0/test:a/{place}" for place in places]
    topics = [(record.topic, (record.key or b"").decode() or str(record.partition)) for record in door.kafka.records]
    for place in places:
        assert topics.index(("prices.sources.v1", f"0/test:a/{place}")) < topics.index(("market.ticks.v1", str(place)))
    gate.set()
    await stream
    assert door.left_open() == []


async def test_a_stream_that_names_a_source_and_sends_nothing_ends_it_everywhere() -> None:
    door = Door()
    await door.ingest.run(of([door.message(source="test:a")]))
    assert [(partition, batch.source, batch.source_ended) for partition, batch in door.batches()] == [(place, "test:a", True) for place in range(PARTITIONS)]


async def test_a_stream_of_wrong_ticks_ends_nothing() -> None:
    door = Door()
    assert (await door.ingest.run(of([door.message((ES, -1.0), source="test:a")]))).rejected == 1
    assert door.batches() == []


def dead_letters(door: Door) -> list[tuple[pb.IngestTick, dict[str, bytes | str | None]]]:
    return [(pb.IngestTick.FromString(record.value), dict(record.headers)) for record in door.kafka.of("market.ticks.v1.dlq")]


async def test_what_is_not_taken_is_published_with_its_reason_though_the_stream_fails() -> None:
    door = Door()
    messages = [door.message((ES, 1.0), (ES, -1.5), ("es", 2.0), source="test:a"), door.message((NQ, 0.0), seq=7), door.message(source="test:b")]
    with pytest.raises(SourceChanged):
        await door.ingest.run(of(messages))
    await door.ingest.drain()
    found = [(tick.symbol, tick.price, tick.seq, headers["dlq_position"], headers["feed"]) for tick, headers in dead_letters(door)]
    assert found == [(ES, -1.5, 2, b"1", b"test:a"), ("es", 2.0, 3, b"2", b"test:a"), (NQ, 0.0, 7, b"3", b"test:a")]
    tick, headers = dead_letters(door)[0]
    assert tick.ts_event.ToNanoseconds() == door.clock.now_ns()
    assert headers["dlq_reason"] == b"price: expected a finite number > 0 with at most 2 digits, was -1.5"


async def test_a_client_of_wrong_ticks_only_does_not_fill_the_dead_letters() -> None:
    door, before = Door(), REJECTIONS_NOT_PUBLISHED._value.get()
    bad = [("ES.XCME", -1.0)] * 600
    await door.ingest.run(of([door.message(*bad, source="test:a")]))
    assert (len(dead_letters(door)), REJECTIONS_NOT_PUBLISHED._value.get() - before) == (500, 100)
    door.clock.advance(61.0)
    await door.ingest.run(of([door.message(*bad[:10], source="test:a")]))
    assert len(dead_letters(door)) == 510
