"""Ticks topic -> bars -> indicators and signals -> out, checkpoints on, against plain loops over the same trades.

Everybody finds a backlog: of batches, or of one JSON tick a record. Ours: prices-worker and analysis-worker run and are ready; prices-worker is
held still while the backlog is written, and time runs from the moment it is let go until the last indicator row can be read. References: time runs
from the first record they have in hand to the acknowledgement of their last result. Bars and indicators of all runs are compared; a difference ends
the bench.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.local.broker import EmbeddedBroker
from services.analysis.indicators.registry import NAMES
from services.prices.sessions import SessionTable
from services.runtime.columns import TickColumns, decode_bars, decode_indicators
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.topics import BARS, INDICATORS, TICKS, Layout, Topic
from tests.bench import workload
from tests.bench.processes import Process, Usage
from tests.bench.results import Result
from tests.ports import free_ports
from tests.servers import REPOSITORY, new_broker

TICKS_COUNT = 1_000_000
PARTITIONS = 4
BATCH_ROWS = 512
BACKLOG_ROWS = 4_096
SYMBOLS = 500
#: Indicators that the smaller reference computes, of one-minute bars.
MINUTE_NAMES = ("ema_12", "ema_26", "rsi_14", "macd_12_26_9", "macd_12_26_9_signal", "bbands_20_2_upper", "bbands_20_2_middle", "bbands_20_2_lower", "atr_14")
_BAR_COLUMNS = ("instrument", "interval", "ts_open", "open", "high", "low", "close", "volume", "trade_count")
#: Equality of indicators of different code: see docs/adr and the conformance tests.
TOLERANCE = 1e-9
#: Reached only when something is wrong.
PATIENCE_S = 300.0
#: Seconds without a record after which what came is looked at.
_QUIET_S = 0.3

#: (symbol, interval in seconds, ts_open) -> open, high, low, close, volume, trades, then NAMES (NaN while warming up, and where there are none).
Rows = dict[tuple[str, int, int], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Run:
    """One way, once."""

    ticks_per_s: float
    usage: Usage
    rows: Rows


def run() -> list[Result]:
    """All figures of the path."""
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as folder:
        home = Path(folder)
        (home / "tables").mkdir()
        # The bench's symbols trade around the clock, so no calendar is needed.
        SessionTable.utc_only().save(home / "tables" / "sessions.npz")
        ticks = workload.trades(TICKS_COUNT, SYMBOLS)
        poll, thousands = (reference(home / f"minutes-{way}", ticks, way, "minutes") for way in ("json", "orjson"))
        whole_poll, whole_thousands = (reference(home / f"all-{way}", ticks, way, "all") for way in ("json", "orjson"))
        ours = chain(home / "chain", ticks, BATCH_ROWS)
        backlog = chain(home / "backlog", ticks, BACKLOG_ROWS)
        plain = plain_loop(home / "plain", ticks, BACKLOG_ROWS)
        compare("orjson loop, minutes", poll.rows, thousands.rows)
        compare("minutes of the loop with all outputs", poll.rows, minutes_of(whole_poll.rows))
        for name, run in (("orjson loop", whole_thousands), ("workers", ours), ("workers on a backlog", backlog), ("plain loop of our processors", plain)):
            compare(name, whole_poll.rows, run.rows)
        few, many = (chain(home / f"symbols-{count}", workload.trades(TICKS_COUNT, count), BATCH_ROWS) for count in (10, 10_000))
    compared = [Result("path.ticks_per_s.backlog", backlog.ticks_per_s, "ticks/s", "our processors in a plain loop, no checkpoints", plain.ticks_per_s)]
    return [*_throughput(poll, thousands, ours), *_like_for_like(whole_poll, whole_thousands, ours), *compared, *_sizes(ours, few, many), _encoding(ticks)]


def _throughput(poll: Run, thousands: Run, ours: Run) -> list[Result]:
    name, unit = "path.ticks_per_s", "ticks/s"
    cpu = 1e6 / TICKS_COUNT
    return [
        Result(name, ours.ticks_per_s, unit, "poll, json, dictionaries; minutes only", poll.ticks_per_s),
        Result(f"{name}.by_thousands", ours.ticks_per_s, unit, "consume(1000), orjson; minutes only", thousands.ticks_per_s),
        Result("path.cpu_s_per_million", ours.usage.cpu_seconds * cpu, "s", "poll loop", poll.usage.cpu_seconds * cpu, False),
        Result("path.peak_mib", ours.usage.peak_bytes / 2**20, "MiB", "poll loop", poll.usage.peak_bytes / 2**20, False),
    ]


def _like_for_like(poll: Run, thousands: Run, ours: Run) -> list[Result]:
    """Against loops that write what we write. The smaller references write one value where we write thirty."""
    name, unit = "path.ticks_per_s.same_outputs", "ticks/s"
    return [
        Result(name, ours.ticks_per_s, unit, "poll, json, dictionaries; all outputs", poll.ticks_per_s),
        Result(f"{name}_by_thousands", ours.ticks_per_s, unit, "consume(1000), orjson; all outputs", thousands.ticks_per_s),
    ]


def _sizes(ours: Run, few: Run, many: Run) -> list[Result]:
    rows = ((10, few), (10_000, many))
    return [Result(f"path.ticks_per_s.symbols_{count}", run.ticks_per_s, "ticks/s", f"{SYMBOLS} symbols", ours.ticks_per_s) for count, run in rows]


def _encoding(ticks: TickColumns) -> Result:
    """What it costs to make batches of ticks."""
    began = time.perf_counter()
    for _ in workload.batches(ticks, BATCH_ROWS, PARTITIONS):
        pass
    ours = TICKS_COUNT / (time.perf_counter() - began)
    began = time.perf_counter()
    for _ in workload.json_records(ticks, PARTITIONS):
        pass
    return Result("path.encode_ticks_per_s", ours, "ticks/s", "orjson, one tick a record", TICKS_COUNT / (time.perf_counter() - began))


def reference(folder: Path, ticks: TickColumns, way: str, outputs: str) -> Run:
    """One of the plain loops, on a broker of its own."""
    folder.mkdir(parents=True)
    with new_broker(folder) as broker:
        source = Topic("bench.ticks", TICKS.message, "bench", "One JSON tick a record.", Layout.BATCH)
        out = Topic("bench.out", BARS.message, "bench", "One JSON bar a record.", Layout.BATCH, partitions=1)
        ensure_topics(broker.bootstrap, PARTITIONS, [source, out])
        send(make_producer(broker.bootstrap, linger_ms=20), source.name, workload.json_records(ticks, PARTITIONS), [])
        command = [sys.executable, "-m", "tests.bench.reference", "--bootstrap", broker.bootstrap, "--topic", source.name, "--out", out.name]
        command += ["--records", str(len(ticks)), "--way", way, "--outputs", outputs]
        done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
        figures = json.loads(done.stdout)
        rows: Rows = {}
        names = MINUTE_NAMES if outputs == "minutes" else NAMES
        for row in map(orjson.loads, read_all(broker.bootstrap, out.name, 1)):
            if "signal" not in row:
                bar = (row["open"], row["high"], row["low"], row["close"], row["volume"], row["trades"])
                key = row["symbol"], row.get("interval", 60), row["ts_open"]
                rows[key] = (*map(float, bar), *(row["indicators"].get(name, math.nan) for name in names))
    return Run(len(ticks) / figures["seconds"], Usage(figures["cpu_seconds"], figures["peak_bytes"]), rows)


def plain_loop(folder: Path, ticks: TickColumns, batch_rows: int) -> Run:
    """Our processors in one plain loop, on a broker of its own."""
    folder.mkdir(parents=True)
    records = list(workload.batches(ticks, batch_rows, PARTITIONS))
    with new_broker(folder) as broker:
        ensure_topics(broker.bootstrap, PARTITIONS)
        send(make_producer(broker.bootstrap), TICKS.name, records, record_headers(TICKS.message, "bench"))
        command = [sys.executable, "-m", "tests.bench.plain_loop", "--bootstrap", broker.bootstrap, "--records", str(len(records)), "--partitions"]
        done = subprocess.run([*command, str(PARTITIONS)], cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
        figures = json.loads(done.stdout)
        rows = _rows(*(read_all(broker.bootstrap, topic.name, PARTITIONS) for topic in (BARS, INDICATORS)))
    return Run(len(ticks) / figures["seconds"], Usage(figures["cpu_seconds"], figures["peak_bytes"]), rows)


def chain(folder: Path, ticks: TickColumns, batch_rows: int) -> Run:
    """Both workers, on a broker of their own."""
    folder.mkdir(parents=True)
    records = list(workload.batches(ticks, batch_rows, PARTITIONS))
    expected = len({(int(index), int(ts) // 60_000_000_000) for index, ts in zip(ticks.instrument.tolist(), ticks.ts_event.tolist(), strict=True)})
    with new_broker(folder) as broker, ExitStack() as stack:
        ensure_topics(broker.bootstrap, PARTITIONS)
        workers = [stack.enter_context(process) for process in _workers(folder, broker)]
        warm(broker, records)
        workers[0].hold()
        send(make_producer(broker.bootstrap), TICKS.name, records, record_headers(TICKS.message, "bench"))
        reader = consumer_of(broker.bootstrap, INDICATORS.name, PARTITIONS)
        before = [worker.usage() for worker in workers]
        began = time.perf_counter()
        workers[0].let_go()
        ended, values = _read_indicators(reader, expected)
        after = [worker.usage() for worker in workers]
        rows = _rows(read_all(broker.bootstrap, BARS.name, PARTITIONS), values)
    cpu = sum(end.cpu_seconds - start.cpu_seconds for start, end in zip(before, after, strict=True))
    return Run(len(ticks) / (ended - began), Usage(cpu, sum(usage.peak_bytes for usage in after)), rows)


def warm(broker: EmbeddedBroker, records: list[tuple[int, bytes]]) -> None:
    """Lets a broker write and read as much as it will have to. The references' brokers took their backlog before the clock ran; a new JVM is slow."""
    topic = Topic("bench.warm", TICKS.message, "bench", "Read by nobody else.", Layout.BATCH)
    ensure_topics(broker.bootstrap, PARTITIONS, [topic])
    send(make_producer(broker.bootstrap), topic.name, records, [])
    for _ in read_all(broker.bootstrap, topic.name, PARTITIONS):
        pass


def _workers(folder: Path, broker: EmbeddedBroker) -> Iterator[Process]:
    ports = free_ports(2)
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
        "SIGNALBOX_HOME": str(folder.parent),
        "SIGNALBOX_PARTITIONS": str(PARTITIONS),
        "SIGNALBOX_PRICES_WORKER_METRICS_PORT": str(ports[0]),
        "SIGNALBOX_ANALYSIS_WORKER_METRICS_PORT": str(ports[1]),
    }
    for name, port in zip(("prices", "analysis"), ports, strict=True):
        yield Process(f"services.{name}.worker", env, port, folder / f"{name}.log")


def _read_indicators(reader: Consumer, expected: int) -> tuple[float, list[bytes]]:
    """When the last one-minute row was there (`time.perf_counter`), and all records. They are decoded while nothing comes: the two cores are the workers'."""
    arrived: list[tuple[float, bytes]] = []
    seen, found, last = 0, 0, 0.0
    deadline = time.perf_counter() + PATIENCE_S
    while found < expected:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{found} of {expected} one-minute rows after {PATIENCE_S:g} s")
        first = reader.poll(_QUIET_S)
        if first is not None:
            now = time.perf_counter()
            arrived += [(now, message.value() or b"") for message in (first, *reader.consume(100, 0))]
            continue
        for at, value in arrived[seen:]:
            rows = int((decode_indicators(value).interval == 60).sum())
            found, last = found + rows, at if rows else last
        seen = len(arrived)
    reader.close()
    return last, [value for _, value in arrived]


def _rows(bar_values: Iterable[bytes], indicator_values: Iterable[bytes]) -> Rows:
    rows: Rows = {}
    none = (math.nan,) * len(NAMES)
    for bars in map(decode_bars, bar_values):
        columns = zip(*(getattr(bars, name).tolist() for name in _BAR_COLUMNS), strict=True)
        for index, interval, ts_open, *prices, volume, trades in columns:
            symbol, price_digits, size_digits = bars.instruments[index]
            rows[symbol, interval, ts_open] = (*(price / 10**price_digits for price in prices), volume / 10**size_digits, float(trades), *none)
    for batch in map(decode_indicators, indicator_values):
        assert batch.names == NAMES
        for index, interval, ts_open, values in zip(batch.symbol.tolist(), batch.interval.tolist(), batch.ts_open.tolist(), batch.values.tolist(), strict=True):
            key = batch.symbols[index], interval, ts_open
            rows[key] = (*rows[key][:6], *values)
    return rows


def minutes_of(rows: Rows) -> Rows:
    """Of rows with all outputs what the smaller reference has."""
    columns = [6 + NAMES.index(name) for name in MINUTE_NAMES]
    return {key: (*row[:6], *(row[column] for column in columns)) for key, row in rows.items() if key[1] == 60}


def compare(name: str, expected: Rows, found: Rows) -> None:
    """Raises when the bars are not the same, or an indicator is further away than the tolerance."""
    if expected.keys() != found.keys():
        raise RuntimeError(f"{name}: {len(found)} bars, the reference has {len(expected)}; {len(expected.keys() ^ found.keys())} differ")
    for key, row in expected.items():
        for left, right in zip(row, found[key], strict=True):
            if not (math.isnan(left) and math.isnan(right)) and not abs(left - right) <= TOLERANCE * max(1.0, abs(left)):
                raise RuntimeError(f"{name}: {key}: {found[key]}, the reference has {row}")


def send(producer: Producer, topic: str, records: Iterable[tuple[int, bytes]], headers: list[tuple[str, bytes]]) -> None:
    """Puts records on a topic; returns when the broker has them."""
    for partition, value in records:
        while True:
            try:
                producer.produce(topic, value, partition=partition, headers=list(headers))
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush()


def consumer_of(bootstrap: str, topic: str, partitions: int) -> Consumer:
    """A consumer at the beginning of a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-reader", "enable.auto.commit": False, "fetch.queue.backoff.ms": 10})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    return consumer


def read_all(bootstrap: str, topic: str, partitions: int) -> Iterator[bytes]:
    """All values of a topic that is not being written to."""
    consumer = consumer_of(bootstrap, topic, partitions)
    left = sum(consumer.get_watermark_offsets(TopicPartition(topic, partition))[1] for partition in range(partitions))
    while left:
        for message in consumer.consume(1000, 1.0):
            left -= 1
            yield message.value() or b""
    consumer.close()
