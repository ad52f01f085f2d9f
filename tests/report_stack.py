"""Prices and analysis as processes on a broker and a Valkey of their own, with the daily bars of given symbols: what a report is collected from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from confluent_kafka import Producer

from deploy.local.valkey import EmbeddedValkey
from services.reports.daily.recorded import BarsRecord, SymbolRecord
from services.runtime.columns import BarColumns, InstrumentRef, encode_bars
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.partitions import partition_of
from services.runtime.topics import BARS
from tests.ports import free_ports
from tests.processes import Process
from tests.servers import new_broker

PARTITIONS = 2
SESSION = 86_400
#: Digits of prices: GOOG has some of a hundredth of a cent.
DIGITS = 4
_ROWS = 1_000


@contextmanager
def report_stack(home: Path, symbols: Iterable[SymbolRecord], minutes_of: str = "") -> Iterator[dict[str, str]]:
    """Yields the environment of a report. News, gateway and workers are not there. minutes_of: a symbol that has minute bars only."""
    ports = free_ports(6)
    with ExitStack() as stack:
        broker = stack.enter_context(new_broker(home / "kafka"))
        valkey = stack.enter_context(EmbeddedValkey(home / "valkey", ports[5]))
        ensure_topics(broker.bootstrap, PARTITIONS)
        _publish(broker.bootstrap, list(symbols), minutes_of)
        environment = _environment(home, broker.bootstrap, valkey.url, ports)
        processes = [Process([f"services.{name}"], home / f"{name}.log", ports[at], environment) for name, at in (("prices", 1), ("analysis", 3))]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            process.wait_ready()
        yield environment


def _environment(home: Path, bootstrap: str, redis_url: str, ports: list[int]) -> dict[str, str]:
    nobody = str(ports[4])
    return {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "REDIS_URL": redis_url,
        "SIGNALBOX_HOME": str(home),
        "SIGNALBOX_PARTITIONS": str(PARTITIONS),
        "SIGNALBOX_PRICES_PORT": str(ports[0]),
        "SIGNALBOX_PRICES_ADDRESS": f"127.0.0.1:{ports[0]}",
        "SIGNALBOX_PRICES_METRICS_PORT": str(ports[1]),
        "SIGNALBOX_ANALYSIS_PORT": str(ports[2]),
        "SIGNALBOX_ANALYSIS_ADDRESS": f"127.0.0.1:{ports[2]}",
        "SIGNALBOX_ANALYSIS_METRICS_PORT": str(ports[3]),
        "SIGNALBOX_NEWS_ADDRESS": f"127.0.0.1:{nobody}",
        "SIGNALBOX_GATEWAY_ADDRESS": f"127.0.0.1:{nobody}",
        "SIGNALBOX_GATEWAY_METRICS_PORT": nobody,
        "SIGNALBOX_PRICES_WORKER_METRICS_PORT": "0",
        "SIGNALBOX_ANALYSIS_WORKER_METRICS_PORT": "0",
    }


def _publish(bootstrap: str, symbols: list[SymbolRecord], minutes_of: str) -> None:
    producer = make_producer(bootstrap)
    for item in symbols:
        for begin in range(0, len(item.bars), _ROWS):
            _send(producer, item.symbol, _columns(item.symbol, item.bars, slice(begin, begin + _ROWS), SESSION))
    if minutes_of:
        few = symbols[0].bars.until(5)
        _send(producer, minutes_of, _columns(minutes_of, replace(few, ts_close=few.ts_open + 60 * 10**9), slice(None), 60))
    assert producer.flush(30) == 0


def _send(producer: Producer, symbol: str, columns: BarColumns) -> None:
    headers: list[tuple[str, str | bytes | None]] = [*record_headers(BARS.message, "test")]
    producer.produce(BARS.name, encode_bars(columns), partition=partition_of(symbol, PARTITIONS), headers=headers)


def _columns(symbol: str, bars: BarsRecord, cut: slice, interval: int) -> BarColumns:
    count = len(bars.ts_open[cut])
    fixed = {name: np.round(getattr(bars, name)[cut] * 10**DIGITS).astype(np.int64) for name in ("open", "high", "low", "close")}
    return BarColumns(
        instruments=(InstrumentRef(symbol, DIGITS, 0),),
        instrument=np.zeros(count, np.uint32),
        interval=np.full(count, interval, np.uint32),
        ts_open=bars.ts_open[cut],
        ts_close=bars.ts_close[cut],
        **fixed,
        volume=bars.volume[cut].astype(np.int64),
        vwap=np.full(count, -1, np.int64),
        trade_count=np.full(count, -1, np.int64),
        revision=np.zeros(count, np.uint32),
        source_kind=bars.source_kind[cut].astype(np.int32),
        replay_shift=np.zeros(count, np.int64),
        ts_recv=np.empty(0, np.int64),
    )
