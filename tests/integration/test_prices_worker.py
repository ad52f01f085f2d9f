"""The worker that makes bars, as a process on real Kafka: real trades, kill -9, dead letters, drain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from signalbox.events.v1.bar_batch_pb2 import Snapshot

from services.prices.sessions import SessionTable
from services.runtime import topics
from services.runtime.columns import TickColumns, decode_bars, decode_late, encode_ticks
from services.runtime.headers import read_headers, record_headers
from services.runtime.kafka import make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.partitions import partition_of
from services.runtime.stream.manifests import SLOTS, manifest_key
from tests import es_trades
from tests.integration.analysis_driver import PARTITIONS
from tests.oracle import Bar
from tests.ports import free_ports
from tests.processes import Process, wait_until
from tests.servers import new_broker
from tests.unit.prices.bar_inputs import bars_of_columns

ES_PARTITION = partition_of("ES.XCME", PARTITIONS)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
USED = (topics.TICKS, topics.TICKS.dead_letters(), topics.BARS, topics.LIVE_BARS, topics.SNAPSHOTS, topics.LATE, topics.PRICES_CHECKPOINTS)

#: The worker's default.
LATENESS_NS = 2_000_000_000

NewWorker = Callable[[], Process]


class Read(NamedTuple):
    """A record as a consumer sees it."""

    partition: int
    key: bytes | None
    value: bytes
    headers: dict[str, Any]


@pytest.fixture
def bootstrap(tmp_path: Path) -> Iterator[str]:
    """A broker of its own: the topics have fixed names."""
    with new_broker(tmp_path / "kafka") as broker:
        ensure_topics(broker.bootstrap, PARTITIONS, USED)
        yield broker.bootstrap


@pytest.fixture
def new_worker(bootstrap: str, tmp_path: Path) -> Iterator[NewWorker]:
    opens, closes = (np.array([np.datetime64(pair[end], "ns").astype(np.int64) for pair in es_trades.SESSIONS]) for end in (0, 1))
    SessionTable({"CMES": 0}, np.array([0, 2]), opens, closes, np.arange(2)).save(tmp_path / "home" / "tables" / "sessions.npz")
    log, running = tmp_path / "worker.log", list[Process]()
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "SIGNALBOX_HOME": str(tmp_path / "home"),
        # Slower than by default, so that a kill always finds work done since the last checkpoint.
        "SIGNALBOX_CHECKPOINT_INTERVAL_MS": "2000",
    }

    def start() -> Process:
        port = free_ports(1)[0]
        running.append(Process(["services.prices.worker"], log, port, {**env, "SIGNALBOX_PRICES_WORKER_METRICS_PORT": str(port)}))
        return running[-1]

    yield start
    for worker in running:
        if worker.process.poll() is None:
            worker.kill()
    print(log.read_text()[-20000:] if log.exists() else "no log")


class Reader:
    """Reads topics from their beginning; each `read` returns all that came since the last."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "nobody", "enable.auto.commit": False, "enable.partition.eof": False})
        self._parts = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in self._consumer.list_topics(topic, 20).topics[topic].partitions]
        self._consumer.assign(self._parts)
        self._next = {part.partition: 0 for part in self._parts}

    def read(self) -> list[Read]:
        ends = {part.partition: self._consumer.get_watermark_offsets(part, 20)[1] for part in self._parts}
        records = []
        while any(self._next[number] < end for number, end in ends.items()):
            for message in self._consumer.consume(1000, 0.5):
                assert message.error() is None
                partition, offset, value = message.partition(), message.offset(), message.value()
                assert partition is not None
                assert offset is not None
                assert value is not None
                self._next[partition] = offset + 1
                records.append(Read(partition, message.key(), value, dict(message.headers() or [])))
        return records

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def reader(bootstrap: str) -> Iterator[Callable[[topics.Topic], Reader]]:
    readers: list[Reader] = []

    def of(topic: topics.Topic) -> Reader:
        readers.append(Reader(bootstrap, topic.name))
        return readers[-1]

    yield of
    for one in readers:
        one.close()


class FinalBars:
    """All final bars read so far; a bar that comes again must be the same."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.bars: dict[tuple[object, ...], Bar] = {}
        self.repeated = 0

    def __len__(self) -> int:
        for record in self._reader.read():
            assert record.partition == ES_PARTITION
            assert read_headers(record.headers.items()).traceparent == TRACE
            columns = decode_bars(record.value)
            assert not columns.revision.any()
            assert not len(columns.ts_recv)
            for bar in bars_of_columns(columns):
                self.repeated += bar[:3] in self.bars
                assert self.bars.setdefault(bar[:3], bar) == bar
        return len(self.bars)


def send(bootstrap: str, batches: list[TickColumns], pause_s: float = 0.0) -> None:
    """pause_s: after every fifth batch."""
    producer = make_producer(bootstrap)
    for number, ticks in enumerate(batches):
        headers = record_headers("TickBatch", f"test/{number}", TRACE)
        producer.produce(topics.TICKS.name, encode_ticks(ticks), partition=ES_PARTITION, headers=dict(headers))
        producer.poll(0)
        if number % 5 == 4:
            time.sleep(pause_s)
    assert producer.flush(30) == 0


def feed(bootstrap: str, batches: list[TickColumns]) -> threading.Thread:
    """Sends a little at a time for seconds, so that who is killed meanwhile is in the middle of it."""
    thread = threading.Thread(target=send, args=(bootstrap, batches, 0.04), daemon=True)
    thread.start()
    return thread


def test_killed_three_times_over_half_a_million_trades(bootstrap: str, new_worker: NewWorker, reader: Callable[[topics.Topic], Reader]) -> None:
    expected, batches = es_trades.expected_bars(), es_trades.batches(es_trades.trades(), 200)
    final = FinalBars(reader(topics.BARS))
    worker = new_worker()
    for number in range(3):
        worker.wait_ready()
        known = len(final)
        feeding = feed(bootstrap, batches[number * len(batches) // 4 : (number + 1) * len(batches) // 4])
        # The first records after a pause bring a checkpoint; those of the next two seconds are in none.
        wait_until(lambda known=known: len(final) > known + 300, "bars of this part")  # type: ignore[misc]
        assert feeding.is_alive(), "the worker was to be killed in the middle"
        worker.kill()
        feeding.join()
        worker = new_worker()
    send(bootstrap, batches[3 * len(batches) // 4 :])
    wait_until(lambda: len(final) >= len(expected), "all bars")
    assert sorted(final.bars.values()) == expected
    assert final.repeated > 0
    assert sum(len(decode_late(record.value).ticks) for record in reader(topics.LATE).read()) == 0
    assert worker.terminate() == 0


def test_behind_a_cut_no_bar_comes_again_short(bootstrap: str, new_worker: NewWorker, reader: Callable[[topics.Topic], Reader]) -> None:
    """The checkpoints are lost and retention has removed the first records: what was published whole is not published again from what is left."""
    trades = es_trades.trades()
    batches = es_trades.batches(trades, 500)
    half, cut = len(batches) // 2, len(batches) // 2 - 40
    last, first = (int(trades["ts"].iloc[row]) for row in (half * 500 - 1, cut * 500 + 499))
    before = {bar[:3] for bar in es_trades.expected_bars() if bar.ts_close <= last - LATENESS_NS}
    final = FinalBars(reader(topics.BARS))
    worker = new_worker()
    send(bootstrap, batches[:half])
    wait_until(lambda: len(final) >= len(before), "the bars of the first half")
    assert worker.terminate() == 0
    lose_checkpoints(bootstrap)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_records([TopicPartition(topics.TICKS.name, ES_PARTITION, cut)]).values():
        future.result(20)
    worker = new_worker()
    worker.wait_ready()
    send(bootstrap, batches[half:])
    lost = {bar[:3] for bar in es_trades.expected_bars() if bar.ts_open <= first + LATENESS_NS} - before
    assert 3600 in {interval for _, interval, _ in lost}
    wait_until(lambda: len(final) >= len(es_trades.expected_bars()) - len(lost), "all other bars")
    assert sorted(final.bars.values()) == [bar for bar in es_trades.expected_bars() if bar[:3] not in lost]
    assert final.repeated > 0
    assert worker.metric("signalbox_bars_incomplete_total") > len(lost)
    assert "what came before was removed by retention" in worker.log
    assert worker.terminate() == 0


def lose_checkpoints(bootstrap: str) -> None:
    producer = make_producer(bootstrap)
    for slot in range(SLOTS):
        producer.produce(topics.PRICES_CHECKPOINTS.name, b"\xff", key=manifest_key(ES_PARTITION, slot), partition=ES_PARTITION)
    assert producer.flush(30) == 0


def test_what_a_client_sees_beside_final_bars(bootstrap: str, new_worker: NewWorker, reader: Callable[[topics.Topic], Reader]) -> None:
    batches = es_trades.batches(es_trades.trades().iloc[:2000], 100)
    worker = new_worker()
    worker.wait_ready()
    producer = make_producer(bootstrap)
    producer.produce(topics.TICKS.name, b"\xffnot a batch", partition=ES_PARTITION)
    producer.flush(30)
    # The last one says that nothing more comes, and after it no bar is forming.
    send(bootstrap, batches[:-1])
    live, forming = reader(topics.LIVE_BARS), set[int]()

    def all_forming() -> bool:
        forming.update(bar.interval for record in live.read() for bar in bars_of_columns(decode_bars(record.value)))
        return forming >= {1, 60, 300, 900, 3600, 86400}

    wait_until(all_forming, "forming bars of all intervals")
    send(bootstrap, [batches[-1], batches[0]])
    wait_until(lambda: worker.metric("signalbox_bars_late_total") == 100, "the batch that was sent again is late")
    snapshots = reader(topics.SNAPSHOTS)
    seen: list[Read] = []

    def has_all() -> bool:
        seen.extend(snapshots.read())
        return bool(seen) and last(seen).watermark == batches[-1].watermark

    wait_until(has_all, "the last snapshot")
    assert (last(seen).price, last(seen).ts_event) == (batches[-2].price[-1], batches[-2].ts_event[-1])
    assert {(record.partition, record.key) for record in seen} == {(ES_PARTITION, b"ES.XCME")}
    (late,) = reader(topics.LATE).read()
    assert decode_late(late.value).reason.tolist() == [1] * 100
    (dead,) = reader(topics.TICKS.dead_letters()).read()
    assert dead.value == b"\xffnot a batch"
    assert worker.metric("signalbox_bars_ticks_total") == 2100
    assert worker.metric("signalbox_bars_final_total", 'interval="1"') == len({ts // 10**9 for ts in es_trades.trades()["ts"][:2000]})
    assert worker.terminate() == 0


def last(records: list[Read]) -> Snapshot:
    return Snapshot.FromString(records[-1].value)


def test_without_a_table_of_sessions_it_says_what_to_do(bootstrap: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    worker = Process(["services.prices.worker"], log, 0, {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "SIGNALBOX_HOME": str(tmp_path / "empty")})
    assert worker.process.wait(60) == 2
    assert "python -m services.prices.sessions --build" in log.read_text()
