"""A worker that records spans and is killed: what it writes a second time is the same to the last byte of its headers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from services.prices.sessions import SessionTable
from services.runtime import topics
from services.runtime.headers import read_headers, record_headers
from services.runtime.kafka import make_producer, to_record
from services.runtime.kafka_admin import ensure_topics
from services.runtime.telemetry import new_traceparent
from tests.bench import workload
from tests.otlp_receiver import ReceivedSpan, Receiver, otlp_receiver
from tests.ports import free_ports
from tests.processes import Process, wait_until
from tests.servers import new_broker

PARTITIONS = 1
USED = (topics.TICKS, topics.TICKS.dead_letters(), topics.BARS, topics.LIVE_BARS, topics.SNAPSHOTS, topics.LATE, topics.PRICES_CHECKPOINTS)

#: Value and headers of the copies of a record, by its `ce_id`.
Copies = dict[str, list[tuple[bytes, list[tuple[str, bytes]]]]]


@pytest.fixture
def bootstrap(tmp_path: Path) -> Iterator[str]:
    with new_broker(tmp_path / "kafka") as broker:
        ensure_topics(broker.bootstrap, PARTITIONS, USED)
        yield broker.bootstrap


def send_batches(bootstrap: str) -> dict[str, bool]:
    """Sends trades; returns the trace ids of the batches, and whether each is recorded: every second is."""
    producer, sent = make_producer(bootstrap), {}
    for number, (partition, value) in enumerate(workload.batches(workload.trades(4_000, 5), 100, PARTITIONS)):
        recorded = number % 2 == 0
        traceparent = new_traceparent()[:-2] + ("01" if recorded else "00")
        sent[traceparent.split("-")[1]] = recorded
        producer.produce(topics.TICKS.name, value, partition=partition, headers=list(record_headers(topics.TICKS.message, f"test/{number}", traceparent)))
    assert producer.flush(30) == 0
    return sent


def copies_of_bars(bootstrap: str) -> Copies:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "nobody", "enable.auto.commit": False})
    place = TopicPartition(topics.BARS.name, 0, OFFSET_BEGINNING)
    consumer.assign([place])
    found: Copies = defaultdict(list)
    left = consumer.get_watermark_offsets(place, 20)[1]
    while left:
        for message in consumer.consume(100, 0.5):
            record, left = to_record(message), left - 1
            found[read_headers(record.headers).ce_id].append((record.value, record.headers))
    consumer.close()
    return found


def by_id(receiver: Receiver, name: str) -> dict[str, list[ReceivedSpan]]:
    found: dict[str, list[ReceivedSpan]] = defaultdict(list)
    for span in receiver.spans():
        if span.name == name:
            found[span.span_id].append(span)
    return found


def test_what_is_written_again_after_a_kill_has_the_same_bytes_and_spans(bootstrap: str, tmp_path: Path) -> None:
    SessionTable.utc_only().save(tmp_path / "home" / "tables" / "sessions.npz")
    sent = send_batches(bootstrap)
    recorded = {trace_id for trace_id, is_recorded in sent.items() if is_recorded}
    with otlp_receiver() as (receiver, endpoint), ExitStack() as running:

        def start() -> Process:
            port = free_ports(1)[0]
            settings = {
                "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
                "SIGNALBOX_HOME": str(tmp_path / "home"),
                "SIGNALBOX_PARTITIONS": str(PARTITIONS),
                "SIGNALBOX_PRICES_WORKER_METRICS_PORT": str(port),
                # Never: everything is processed again.
                "SIGNALBOX_CHECKPOINT_INTERVAL_MS": "600000",
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "OTEL_BSP_SCHEDULE_DELAY": "100",
            }
            worker = Process(["services.prices.worker"], tmp_path / "log", port, settings)
            running.callback(lambda: worker.kill() if worker.running else None)
            return worker

        def times_processed() -> int:
            return min(map(len, by_id(receiver, "process market.ticks.v1").values()), default=0)

        first = start()
        wait_until(lambda: len(by_id(receiver, "process market.ticks.v1")) == len(recorded), "a span of each recorded batch")
        first.kill()
        second = start()
        wait_until(lambda: times_processed() == 2, "a second one of each")
        assert second.terminate() == 0
        spans, created = by_id(receiver, "process market.ticks.v1"), by_id(receiver, "create market.bars.v1")
    copies = copies_of_bars(bootstrap)
    assert len(copies) > 10
    for ce_id, (one, *others) in copies.items():
        assert others, f"{ce_id} was written once only"
        assert all(other == one for other in others), ce_id
    for again, once in spans.values():
        assert (again.trace_id, again.parent_id, again.attributes) == (once.trace_id, once.parent_id, once.attributes)
    assert {span.trace_id for found in spans.values() for span in found} == recorded
    # Each bar record of a recorded batch names the span that was sent for it; the others name the batch's own context.
    for (_, headers), *_ in copies.values():
        _, trace_id, span_id, _ = (read_headers(headers).traceparent or "").split("-")
        assert (span_id in created) == sent[trace_id]
