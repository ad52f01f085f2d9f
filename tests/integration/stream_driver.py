"""Drives toy workers in tests: load, processes that are killed and stopped, and the oracle."""

from __future__ import annotations

import contextlib
import random
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

from services.runtime.errors import BadRecord
from services.runtime.kafka import make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.stream.offsets import TopicOffsets
from services.runtime.stream.records import InputRecord
from tests.integration.stream_toy import RunningSums, parse, topics
from tests.processes import Process, wait_until

PARTITIONS = 4


class Worker(Process):
    """One toy worker process."""

    def __init__(self, bootstrap: str, prefix: str, replica: int, log: Path, metrics_port: int, env: dict[str, str]) -> None:
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "SIGNALBOX_REPLICA": str(replica),
            "SIGNALBOX_LOG_FORMAT": "text",
            "TOY_APP": prefix,
            "TOY_METRICS_PORT": str(metrics_port),
            "SIGNALBOX_CHECKPOINT_INTERVAL_MS": "100",
            **env,
        }
        super().__init__(["tests.integration.stream_toy", prefix], log, metrics_port, settings)


class Bench:
    """Topics of one test, their load, the workers on them, and the comparison with the oracle."""

    def __init__(self, bootstrap: str, folder: Path, seed: int, partitions: int = PARTITIONS) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"toy-{uuid.uuid4().hex[:8]}"
        self.partitions = partitions
        self.source, self.out, self.checkpoints = topics(self.prefix)
        ensure_topics(bootstrap, partitions, [self.source, self.out, self.checkpoints, self.source.dead_letters()])
        self.random = random.Random(seed)
        self.producer = make_producer(bootstrap)
        self._out_offsets = TopicOffsets(bootstrap, self.out.name)
        self.workers: list[Worker] = []
        self._folder = folder
        self._sent: dict[int, list[bytes]] = defaultdict(list)

    def send(self, count: int) -> None:
        """Random records over all partitions; returns when the broker has them."""
        for _ in range(count):
            rows = [f"{self.random.randrange(16)} {self.random.randrange(-1000, 1000)}" for _ in range(self.random.randrange(1, 8))]
            self.send_raw(self.random.randrange(self.partitions), "\n".join(rows).encode())
        self.producer.flush()

    def send_raw(self, partition: int, value: bytes) -> None:
        self.producer.produce(self.source.name, value, partition=partition)
        self._sent[partition].append(value)

    @contextlib.contextmanager
    def load(self, records_per_burst: int = 40) -> Iterator[None]:
        """Records keep coming inside the block."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.02):
                self.send(records_per_burst)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def start(self, replica: int = 0, metrics_port: int = 0, /, **env: str) -> Worker:
        worker = Worker(self.bootstrap, self.prefix, replica, self._folder / f"worker-{replica}.log", metrics_port, env)
        self.workers.append(worker)
        return worker

    def stop_all(self) -> None:
        """Ends whatever still runs."""
        for worker in self.workers:
            worker.end()

    def outputs(self) -> dict[int, list[tuple[int, bytes]]]:
        """All outputs by partition, in order: source offset and value. Fails when two of one source offset differ in value or headers."""
        found: dict[int, list[tuple[int, bytes]]] = {partition: [] for partition in range(self.partitions)}
        seen: dict[tuple[int, int], tuple[bytes, list[tuple[str, bytes]]]] = {}
        for partition, _, value, headers in self.read(self.out.name, self.partitions):
            offset = int(dict(headers)["src_offset"])
            assert seen.setdefault((partition, offset), (value, headers)) == (value, headers), "a repeated output differs"
            found[partition].append((offset, value))
        return found

    def read(self, topic: str, partitions: int) -> list[tuple[int, bytes | None, bytes, list[tuple[str, bytes]]]]:
        """Partition, key, value, headers of all records of a topic."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "oracle",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.queue.backoff.ms": 10,
            }
        )
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        records, ends = [], 0
        while ends < partitions:
            message = consumer.poll(10)
            assert message is not None, f"{topic} cannot be read"
            if message.error() is not None:
                ends += 1
            else:
                records.append((message.partition() or 0, message.key(), message.value() or b"", message.headers() or []))
        consumer.close()
        return records  # type: ignore[return-value]

    def output_count(self) -> int:
        """Outputs in the topic, repeated ones included."""
        try:
            return sum(extent.end for extent in self._out_offsets.extents(range(self.partitions), 10).values())
        except KafkaException:
            return 0  # so young a topic that its leader is not known yet

    def expected(self) -> dict[int, dict[int, bytes]]:
        """What one uninterrupted processor of each partition gives, by source offset."""
        return {partition: self._expected(partition) for partition in range(self.partitions)}

    def _expected(self, partition: int) -> dict[int, bytes]:
        processor, outputs = RunningSums(self.out.name, partition), {}
        for offset, value in enumerate(self._sent[partition]):
            with contextlib.suppress(BadRecord):
                parse(value)
                outputs[offset] = processor.process(InputRecord(self.source.name, partition, offset, value, []))[0].value
        return outputs

    def wait_complete(self) -> int:
        """Waits for the output of every record, compares with the oracle, and returns how many came more than once."""
        expected = self.expected()
        total = sum(len(outputs) for outputs in expected.values())
        try:
            wait_until(lambda: self.output_count() >= total and self._distinct() >= total, f"{total} distinct outputs")
        except AssertionError:
            there = {partition: len(dict(outputs)) for partition, outputs in self.outputs().items()}
            print(f"expected { ({partition: len(outputs) for partition, outputs in expected.items()}) }, found {there}, ends {self.output_count()}")
            raise
        found = self.outputs()
        for partition, outputs in expected.items():
            assert dict(found[partition]) == outputs
        return sum(len(outputs) for outputs in found.values()) - total

    def _distinct(self) -> int:
        return sum(len({offset for offset, _ in outputs}) for outputs in self.outputs().values())
