"""A gateway process behind a real Envoy, fed from a real Kafka."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from confluent_kafka import Producer
from signalbox.events.v1 import analysis_batch_pb2

from deploy.local.child import Child
from services.runtime.columns import BarColumns, IndicatorColumns, InstrumentRef, TickColumns, encode_bars, encode_indicators, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.partitions import partition_of
from services.runtime.topics import BARS, INDICATORS, LIVE_BARS, SIGNALS, TICKS, TOPICS
from tests.integration.edge_servers import RunningEnvoy, edge_settings, running_envoy
from tests.ports import free_ports

PARTITIONS = 4
SECOND = 1_000_000_000
#: 2026-01-05 00:00 UTC.
START = 1_767_571_200 * SECOND
_MESSAGES = {topic.name: topic.message for topic in TOPICS}
TRACEPARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@dataclass(frozen=True, slots=True)
class Feed:
    """Writes to the topics as the workers do."""

    producer: Producer

    def bars(self, symbol: str, numbers: Sequence[int], *, live: bool = False, traceparent: str | None = None) -> None:
        """One-minute bars; bar `n` opens n minutes after START and closes at price 100 + n."""
        count, ns = len(numbers), np.array(numbers, np.int64)
        prices = (10_000 + 100 * ns).astype(np.int64)
        columns = BarColumns(
            instruments=(InstrumentRef(symbol, 2, 0),),
            instrument=np.zeros(count, np.uint32),
            interval=np.full(count, 60, np.uint32),
            ts_open=START + ns * 60 * SECOND,
            ts_close=START + (ns + 1) * 60 * SECOND,
            open=prices,
            high=prices,
            low=prices,
            close=prices,
            volume=np.full(count, 5, np.int64),
            vwap=prices * 10_000,
            trade_count=np.full(count, 3, np.int64),
            revision=np.zeros(count, np.uint32),
            source_kind=np.full(count, 2, np.int32),
            replay_shift=np.full(count, 7 * 86400 * SECOND, np.int64),
            ts_recv=np.full(count if live else 0, START, np.int64),
        )
        self.send(LIVE_BARS.name if live else BARS.name, symbol, encode_bars(columns), traceparent)

    def ticks(self, symbol: str, numbers: Sequence[int]) -> None:
        """Trades at START + n milliseconds."""
        ns = np.array(numbers, np.int64)
        ones = np.ones(len(ns), np.int64)
        columns = TickColumns(
            "synthetic:test", 3, (InstrumentRef(symbol, 2, 0),), np.zeros(len(ns), np.uint32), START + ns * 1_000_000, ones * START, ones * 12_345, ones * 7, ns
        )
        self.send(TICKS.name, symbol, encode_ticks(columns))

    def indicators(self, symbol: str, numbers: Sequence[int]) -> None:
        """Two indicators, of which one is still warming up."""
        count, ns = len(numbers), np.array(numbers, np.int64)
        columns = IndicatorColumns(
            (symbol,),
            ("sma_5", "rsi_14"),
            np.zeros(count, np.uint32),
            np.full(count, 60, np.uint32),
            START + ns * 60 * SECOND,
            np.zeros(count, np.uint32),
            np.full(count, 2, np.int32),
            np.column_stack([100.0 + ns, np.full(count, np.nan)]),
            np.full(count, START, np.int64),
            np.zeros(count, np.int64),
        )
        self.send(INDICATORS.name, symbol, encode_indicators(columns))

    def signal(self, symbol: str, number: int, kind: str) -> None:
        """One signal at bar `number`."""
        row = analysis_batch_pb2.SignalRow(
            symbol=symbol, interval=60, ts_open=START + number * 60 * SECOND, ts_close=START + (number + 1) * 60 * SECOND, type=kind, direction=1, price=1.5
        )
        row.value_names.append("sma_5")
        row.values.append(2.5)
        row.source_kind = 2  # type: ignore[assignment]
        self.send(SIGNALS.name, symbol, analysis_batch_pb2.SignalBatch(signals=[row]).SerializeToString())

    def send(self, topic: str, symbol: str, value: bytes, traceparent: str | None = None) -> None:
        """One record, acknowledged."""
        headers = record_headers(_MESSAGES[topic], f"{symbol}", traceparent)
        self.producer.produce(topic, value, partition=partition_of(symbol, PARTITIONS), headers=list(headers))
        assert self.producer.flush(10) == 0


def new_feed(bootstrap: str) -> Feed:
    """A feed into a broker whose topics exist afterwards."""
    ensure_topics(bootstrap, PARTITIONS)
    return Feed(make_producer(bootstrap))


@dataclass(slots=True)
class Gateway:
    """The gateway process; may be started again."""

    bootstrap: str
    envoy: RunningEnvoy
    folder: Path
    extra: dict[str, str] = field(default_factory=dict)
    metrics_port: int = field(default_factory=lambda: free_ports(1)[0])
    child: Child | None = None

    def start(self, wait: bool = True) -> None:
        self.child = Child.start("gateway", [sys.executable, "-m", "gateway"], log_path=self.folder / "gateway.log", env=self._environment())
        if wait:
            self.child.wait_ready(self.why_not_ready, 30)

    def stop(self) -> int | None:
        """SIGTERM and wait. Returns the exit code."""
        assert self.child is not None
        self.child.stop()
        return self.child.exit_code()

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()

    def why_not_ready(self) -> str | None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=1).close()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError as error:
            return str(error)
        return None

    def metric(self, name: str) -> float:
        """A metric's sum over its labels."""
        from gateway.probes import sums

        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=2) as answer:
            return sums(answer.read().decode()).get(name, 0.0)

    def _environment(self) -> dict[str, str]:
        settings = self.envoy.settings
        ports = {
            "SIGNALBOX_GATEWAY_PORT": settings.gateway_port,
            "SIGNALBOX_GATEWAY_WEB_PORT": settings.gateway_web_port,
            "SIGNALBOX_GATEWAY_WS_PORT": settings.gateway_ws_port,
            "SIGNALBOX_GATEWAY_METRICS_PORT": self.metrics_port,
            "SIGNALBOX_ENVOY_ADMIN_PORT": settings.envoy_admin_port,
            "SIGNALBOX_PRICES_PORT": settings.prices_port,
            "SIGNALBOX_ANALYSIS_PORT": settings.analysis_port,
            "SIGNALBOX_NEWS_PORT": settings.news_port,
            "SIGNALBOX_REPORTS_PORT": settings.reports_port,
        }
        known = {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap, "SIGNALBOX_HOME": str(self.folder), "SIGNALBOX_LOG_FORMAT": "text"}
        return {**os.environ, **known, **{name: str(port) for name, port in ports.items()}, **self.extra}


@contextmanager
def running_gateway(bootstrap: str, folder: Path, **extra: str) -> Iterator[Gateway]:
    """Envoy and the gateway, stopped afterwards."""
    with running_envoy(folder / "envoy", edge_settings()) as envoy:
        gateway = Gateway(bootstrap, envoy, folder, extra)
        try:
            gateway.start()
            yield gateway
        finally:
            if gateway.child is not None:
                gateway.child.stop()
