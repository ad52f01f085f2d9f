"""The publisher on Kafka and the one in memory keep the same promises."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from services.runtime.kafka import KafkaPublisher, Publisher, PublishFailed, Record, TopicReader, make_producer
from services.runtime.testing import eventually
from services.runtime.testing.kafka import MemoryPublisher

Row = tuple[int, int, bytes | None, bytes, list[tuple[str, bytes]]]


@dataclass
class Subject:
    """A publisher, a topic with two partitions, and what arrived in it."""

    publisher: Publisher
    topic: str
    arrived: Callable[[int], Awaitable[list[Row]]]


@pytest.fixture(params=["memory", "kafka"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    topic = f"topic-{uuid.uuid4().hex}"
    if request.param == "memory":
        yield in_memory(topic)
        return
    bootstrap = request.getfixturevalue("kafka")
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(20)
    publisher = KafkaPublisher(make_producer(bootstrap))
    records: list[Record] = []
    reader = TopicReader(bootstrap, [topic], records.extend)
    reader.start()

    async def arrived(count: int) -> list[Row]:
        await eventually(lambda: len(records) >= count)
        return [(r.partition, r.offset, r.key, r.value, r.headers) for r in records]

    yield Subject(publisher, topic, arrived)
    await asyncio.to_thread(reader.stop)
    await publisher.close()


def in_memory(topic: str) -> Subject:
    publisher = MemoryPublisher()

    async def arrived(count: int) -> list[Row]:
        await eventually(lambda: len(publisher.records) >= count)
        return [(r.partition, r.offset, r.key, r.value, r.headers) for r in publisher.of(topic)]

    return Subject(publisher, topic, arrived)


async def test_records_arrive_unchanged(subject: Subject) -> None:
    future = await subject.publisher.publish(subject.topic, 1, b"value", [("a", b"1"), ("b", b"")], key=b"key")
    assert await future == 0
    assert await subject.arrived(1) == [(1, 0, b"key", b"value", [("a", b"1"), ("b", b"")])]


async def test_order_within_a_partition_is_kept_and_offsets_count_up(subject: Subject) -> None:
    futures = [await subject.publisher.publish(subject.topic, number % 2, b"%d" % number, []) for number in range(200)]
    offsets = await asyncio.gather(*futures)
    assert offsets == [number // 2 for number in range(200)]
    rows = await subject.arrived(200)
    for partition in (0, 1):
        assert [row[3] for row in rows if row[0] == partition] == [b"%d" % number for number in range(200) if number % 2 == partition]


async def test_an_abandoned_future_loses_nothing(subject: Subject) -> None:
    future = await subject.publisher.publish(subject.topic, 0, b"one", [])
    future.cancel()
    assert await (await subject.publisher.publish(subject.topic, 0, b"two", [])) == 1
    assert [row[3] for row in await subject.arrived(2)] == [b"one", b"two"]


async def test_a_broker_that_is_away_fails_the_record() -> None:
    gone = KafkaPublisher(make_producer("127.0.0.1:1", delivery_timeout_ms=1000))
    away = MemoryPublisher()
    away.away = True
    for publisher in (gone, away):
        future = await publisher.publish("t", 0, b"", [])
        with pytest.raises(PublishFailed, match="a record for t was not acknowledged"):
            await future
    await gone.close()


async def test_a_full_queue_makes_the_publisher_wait() -> None:
    gone = KafkaPublisher(make_producer("127.0.0.1:1", queue_buffering_max_messages=3, delivery_timeout_ms=3000))
    held = MemoryPublisher(capacity=3)
    held.held = True
    for publisher in (gone, held):
        for _ in range(3):
            (await publisher.publish("t", 0, b"", [])).add_done_callback(lambda future: future.exception())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await publisher.publish("t", 0, b"", [])
    await gone.close()
