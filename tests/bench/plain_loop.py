"""Our processors without the stream workers: one process, a plain confluent-kafka loop, no Faust, no checkpoints, no metrics server.

`python -m tests.bench.plain_loop --bootstrap A --records N --partitions P` reads N records from a backlog of market.ticks.v1, makes bars, indicators
and signals of them with the code that the workers run, writes them to the workers' topics, and prints {"seconds", "cpu_seconds", "peak_bytes"} as JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterable

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from services.analysis.stream import AnalysisProcessor
from services.analysis.stream import warm_up as warm_up_analysis
from services.prices.sessions import SessionTable
from services.prices.stream import PricesProcessor
from services.prices.stream import warm_up as warm_up_bars
from services.runtime.kafka import make_producer
from services.runtime.stream.records import InputRecord, Output
from services.runtime.topics import BARS, TICKS

_LATENESS_NS = 2_000_000_000
_SNAPSHOT_NS = 200_000_000


class Loop:
    """All partitions, both processors."""

    def __init__(self, producer: Producer, partitions: int) -> None:
        sessions = SessionTable.utc_only()
        self._producer = producer
        self._prices = [PricesProcessor(partition, partitions, sessions, _LATENESS_NS, _SNAPSHOT_NS) for partition in range(partitions)]
        self._analysis = [AnalysisProcessor(partition) for partition in range(partitions)]
        self._offsets: dict[int, int] = defaultdict(int)

    def take(self, message: Message) -> None:
        """From one record of ticks to everything that it leads to."""
        topic, partition, offset = str(message.topic()), message.partition() or 0, message.offset() or 0
        headers: list[tuple[str, bytes]] = message.headers() or []  # type: ignore[assignment]
        for output in self._send(self._prices[partition].process(InputRecord(topic, partition, offset, message.value() or b"", headers))):
            if output.topic == BARS.name:
                bars = InputRecord(output.topic, output.partition, self._offsets[output.partition], output.value, output.headers)
                self._offsets[output.partition] += 1
                self._send(self._analysis[output.partition].process(bars))
        self._producer.poll(0)

    def _send(self, outputs: list[Output]) -> Iterable[Output]:
        for output in outputs:
            self._producer.produce(output.topic, output.value, output.key, output.partition, headers=list(output.headers))
        return outputs


def main() -> None:
    """Runs the job once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    options = parser.parse_args()
    warm_up_bars()
    warm_up_analysis()
    loop = Loop(producer := make_producer(options.bootstrap), options.partitions)
    consumer = Consumer({"bootstrap.servers": options.bootstrap, "group.id": "bench-plain", "enable.auto.commit": False, "fetch.queue.backoff.ms": 10})
    consumer.assign([TopicPartition(TICKS.name, partition, 0) for partition in range(options.partitions)])
    began, seen = 0.0, 0
    while seen < options.records:
        messages = consumer.consume(64, 1.0)
        began = began or (time.perf_counter() if messages else 0.0)
        for message in messages:
            if message.error():
                raise SystemExit(message.error())
            loop.take(message)
        seen += len(messages)
    producer.flush()
    seconds = time.perf_counter() - began
    consumer.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss * 1024}) + "\n")


if __name__ == "__main__":
    main()
