"""The feeds process on a broker of its own, and what it wrote there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from services.runtime.columns import BarColumns, TickColumns, decode_bars, decode_ticks
from services.runtime.headers import read_headers
from services.runtime.kafka import Record, to_record
from services.runtime.topics import BARS, TICKS
from tests.ports import free_ports
from tests.servers import REPOSITORY

PARTITIONS = 4


@dataclass
class Feeds:
    """How to start the process. settings: environment variables."""

    bootstrap: str
    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    def start(self, feeds: str, **settings: str) -> FeedsProcess:
        """Starts these feeds, separated by commas."""
        port = free_ports(1)[0]
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "SIGNALBOX_HOME": str(self.home),
            "SIGNALBOX_PARTITIONS": str(PARTITIONS),
            "SIGNALBOX_FEEDS": feeds,
            "SIGNALBOX_FEEDS_METRICS_PORT": str(port),
            "SIGNALBOX_LOG_FORMAT": "text",
            **self.settings,
            **settings,
        }
        log = self.home / "feeds.log"
        with log.open("ab") as sink:
            process = subprocess.Popen([sys.executable, "-m", "services.prices.feeds"], cwd=REPOSITORY, env=environment, stderr=sink)
        return FeedsProcess(process, port, log)


class FeedsProcess:
    """One running process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process, self._port, self._log = process, port, log

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def stop(self) -> None:
        """SIGTERM; it must end in order."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(20)
        assert code == 0, self._log.read_text()[-4000:]

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait(20)

    def not_ready(self) -> dict[str, str] | None:
        """Failed checks by name, empty when ready; None while nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=2) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()
        except OSError:
            assert self._process.poll() is None, self._log.read_text()[-4000:]
            return None
        checks: dict[str, str] = json.loads(body)["checks"]
        return checks

    def metric(self, name: str, source: str, label: str = "source") -> float:
        """Value of a metric of a source, or of what else its label names; 0 while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=2) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            assert self._process.poll() is None, self._log.read_text()[-4000:]
            return 0.0
        start = f'{name}{{{label}="{source}"}} '
        return next((float(line.removeprefix(start)) for line in lines if line.startswith(start)), 0.0)


def records_of(bootstrap: str, topic: str) -> list[Record]:
    """Everything in a topic, partition by partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "enable.auto.commit": False, "enable.partition.eof": True})
    try:
        partitions = sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        return [record for partition in partitions for record in _partition(consumer, topic, partition)]
    finally:
        consumer.close()


def _partition(consumer: Consumer, topic: str, partition: int) -> list[Record]:
    consumer.assign([TopicPartition(topic, partition, 0)])
    found = []
    while (message := consumer.poll(10)) is not None and message.error() is None:
        found.append(to_record(message))
    assert message is not None, f"no end of {topic} {partition} within 10 s"
    return found


def ticks_from(bootstrap: str, source: str) -> list[TickColumns]:
    """All tick batches of a source, in the order of their partitions and offsets."""
    return [decode_ticks(record.value) for record in records_of(bootstrap, TICKS.name) if read_headers(record.headers).feed == source]


def bars_from(bootstrap: str, source: str) -> list[BarColumns]:
    """All bar batches of a source, in the order of their partitions and offsets."""
    return [decode_bars(record.value) for record in records_of(bootstrap, BARS.name) if read_headers(record.headers).feed == source]
