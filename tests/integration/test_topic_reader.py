"""Reading whole topics without a group."""

from __future__ import annotations

import asyncio
import threading
import uuid
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from services.runtime.errors import Unavailable
from services.runtime.kafka import BrokerCheck, ReaderFailed, Record, TopicReader, make_producer, tail_start
from services.runtime.testing import ManualClock, eventually
from tests.servers import new_broker


def new_topic(bootstrap: str, partitions: int = 2, **config: str) -> str:
    name = f"topic-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(20)
    return name


def fill(bootstrap: str, topic: str, count: int, first: int = 0) -> None:
    producer = make_producer(bootstrap)
    for number in range(first, first + count):
        producer.produce(topic, b"%d" % number, b"key", number % 2, headers=[("n", b"%d" % number)])
    assert producer.flush(20) == 0


@pytest.mark.parametrize("gather_ms", [None, 20])
async def test_everything_from_the_beginning_then_what_comes(kafka: str, gather_ms: int | None) -> None:
    topic = new_topic(kafka)
    fill(kafka, topic, 1000)
    records: list[Record] = []
    reader = TopicReader(kafka, [topic], records.extend, gather_ms=gather_ms)
    assert reader.check_ready() == "reader does not run"
    reader.start()
    await reader.wait_caught_up()
    assert reader.check_ready() is None
    assert len(records) == 1000
    fill(kafka, topic, 10, first=1000)
    await eventually(lambda: len(records) == 1010)
    for partition in (0, 1):
        mine = [record for record in records if record.partition == partition]
        assert [int(record.value) for record in mine] == list(range(partition, 1010, 2))
        assert [record.offset for record in mine] == list(range(505))
    assert {(record.topic, record.key) for record in records} == {(topic, b"key")}
    assert all(record.headers == [("n", record.value)] and record.timestamp_ms > 0 for record in records)
    await eventually(lambda: reader.positions() == {(topic, 0): 505, (topic, 1): 505})
    await asyncio.to_thread(reader.stop)
    assert reader.check_alive() == "reader does not run"


async def test_an_empty_topic_is_caught_up_at_once(kafka: str) -> None:
    reader = TopicReader(kafka, [new_topic(kafka), new_topic(kafka)], lambda records: None)
    reader.start()
    await asyncio.wait_for(reader.wait_caught_up(), 20)
    await asyncio.to_thread(reader.stop)


async def test_the_tail_only(kafka: str) -> None:
    topic = new_topic(kafka)
    fill(kafka, topic, 100)
    records: list[Record] = []
    start = tail_start(kafka, topic, 5)
    assert start == {(topic, 0): 45, (topic, 1): 45}
    reader = TopicReader(kafka, [topic], records.extend, start=start)
    reader.start()
    await reader.wait_caught_up()
    assert sorted(int(record.value) for record in records) == list(range(90, 100))
    assert tail_start(kafka, topic, 1000) == {(topic, 0): 0, (topic, 1): 0}
    await asyncio.to_thread(reader.stop)


async def test_a_compacted_topic_is_caught_up_though_records_are_missing(kafka: str) -> None:
    config = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"}
    topic = new_topic(kafka, 1, **config)
    producer = make_producer(kafka)
    for number in range(100):
        producer.produce(topic, b"%d" % number, b"key", 0)
    producer.flush(20)
    producer.produce(topic, None, b"key", 0)
    producer.flush(20)
    records: list[Record] = []
    reader = TopicReader(kafka, [topic], records.extend)
    reader.start()
    await asyncio.wait_for(reader.wait_caught_up(), 20)
    assert (records[-1].key, records[-1].value) == (b"key", b"")
    await asyncio.to_thread(reader.stop)


async def test_a_handler_that_fails_ends_the_reader_and_says_so(kafka: str) -> None:
    topic = new_topic(kafka)
    fill(kafka, topic, 10)
    failures: list[BaseException] = []

    def handle(records: list[Record]) -> None:
        raise ValueError("cannot use this")

    reader = TopicReader(kafka, [topic], handle, on_failure=failures.append)
    reader.start()
    with pytest.raises(ReaderFailed, match="cannot use this"):
        await reader.wait_caught_up()
    assert "cannot use this" in (reader.check_alive() or "")
    assert reader.check_ready() == reader.check_alive()
    await eventually(lambda: [str(error) for error in failures] == ["cannot use this"])


async def test_a_stuck_handler_is_noticed(kafka: str) -> None:
    topic, clock = new_topic(kafka), ManualClock()
    entered, released = threading.Event(), threading.Event()

    def handle(records: list[Record]) -> None:
        entered.set()
        released.wait(20)

    reader = TopicReader(kafka, [topic], handle, clock=clock)
    reader.start()
    fill(kafka, topic, 1)
    await eventually(entered.is_set)
    assert reader.check_alive() is None
    clock.advance(31.0)
    assert reader.check_alive() == "reader did not ask for records for 31 s"
    released.set()
    await eventually(lambda: reader.check_alive() is None)
    await asyncio.to_thread(reader.stop)


async def test_a_topic_that_does_not_exist_is_an_error(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.kafka._BOUNDS_ATTEMPTS", 2)
    with pytest.raises(Unavailable, match="no-such-topic"):
        await asyncio.to_thread(tail_start, kafka, "no-such-topic", 1)


async def test_reading_goes_on_when_the_broker_comes_back(tmp_path: Path) -> None:
    broker = new_broker(tmp_path)
    records: list[Record] = []
    with broker:
        topic = new_topic(broker.bootstrap)
        fill(broker.bootstrap, topic, 10)
        producer = make_producer(broker.bootstrap)
        check = BrokerCheck(producer, topic, every_s=0.0)
        reader = TopicReader(broker.bootstrap, [topic], records.extend)
        reader.start()
        await reader.wait_caught_up()
        assert check() is None
        broker.kill()
        assert "broker does not answer" in (await asyncio.to_thread(check) or "")
        broker.start()
        await eventually(lambda: check() is None)
        fill(broker.bootstrap, topic, 10, first=10)
        await eventually(lambda: len(records) == 20, timeout_s=40.0)
        assert reader.check_ready() is None
        await asyncio.to_thread(reader.stop)
    assert sorted(int(record.value) for record in records) == list(range(20))


def test_the_broker_is_asked_only_now_and_then() -> None:
    clock = ManualClock()
    check = BrokerCheck(make_producer("127.0.0.1:1"), "t", every_s=2.0, timeout_s=0.05, clock=clock)
    first = check()
    assert first is not None
    assert check() is first
    clock.advance(2.0)
    assert check() is not first
