"""The worker process on real Kafka: values, signals, kill -9, dead letters, drain."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from signalbox.events.v1.analysis_batch_pb2 import SignalRow

from services.analysis.engine import Engine
from services.analysis.indicators.registry import NAMES
from services.analysis.signals import RULE_BY_TYPE, RULES
from services.runtime.kafka_admin import ensure_topics
from services.runtime.stream.offsets import TopicOffsets
from services.runtime.topics import BARS, INDICATORS, SIGNALS
from tests.integration.analysis_driver import PARTITIONS, Feed, Reader, Series, bar_batch, daily_series, walk_series
from tests.ports import free_ports
from tests.processes import Process, wait_until
from tests.servers import new_broker
from tests.unit.analysis.series import bars_of

NewWorker = Callable[[], Process]


@pytest.fixture
def reader(bootstrap: str) -> Iterator[Reader]:
    reader = Reader(bootstrap)
    yield reader
    reader.close()


@pytest.fixture
def bootstrap(tmp_path: Path) -> Iterator[str]:
    """A broker of its own: the topics have fixed names."""
    with new_broker(tmp_path / "kafka") as broker:
        ensure_topics(broker.bootstrap, PARTITIONS, (BARS, BARS.dead_letters(), INDICATORS, SIGNALS))
        yield broker.bootstrap


@pytest.fixture
def new_worker(bootstrap: str, tmp_path: Path) -> Iterator[NewWorker]:
    log, running = tmp_path / "worker.log", list[Process]()

    def start() -> Process:
        port = free_ports(1)[0]
        env = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "SIGNALBOX_ANALYSIS_WORKER_METRICS_PORT": str(port), "SIGNALBOX_CHECKPOINT_INTERVAL_MS": "300"}
        running.append(Process(["services.analysis.worker"], log, port, env))
        return running[-1]

    yield start
    for worker in running:
        if worker.process.poll() is None:
            worker.kill()
    print(log.read_text()[-20000:] if log.exists() else "no log")


def some_series() -> list[Series]:
    names = (("AAPL", "XNAS"), ("FB", "XNAS"), ("IBM", "XNYS"))
    return [
        *(daily_series(ticker, mic) for ticker, mic in names),
        walk_series("TEST.XSIM", 1, 3000, 1),
        walk_series("TEST.XSIM", 60, 1500, 2),
        walk_series("NQ.XCME", 1, 2000, 3),
        walk_series("BTC.XSIM", 60, 2000, 4),
    ]


def expected(parts: list[Series]) -> tuple[dict[tuple[str, int, int], tuple[bytes, int]], set[tuple[tuple[str, int, int], str]]]:
    """Values and identities of signals, by one engine for each series."""
    values: dict[tuple[str, int, int], tuple[bytes, int]] = {}
    signals = set()
    for part in parts:
        engine = Engine()
        step = engine.feed(bars_of(engine.series(part.symbol, part.interval), np.array(part.ts_open, np.int64), part.high, part.low, part.close))
        keys = [(part.symbol, part.interval, at) for at in part.ts_open]
        values |= {key: (step.values[row].tobytes(), part.ts_open[0]) for row, key in enumerate(keys)}
        signals |= {(keys[signal.row], signal.rule.type) for signal in step.signals()}
    return values, signals


def test_kill_nine_three_times_changes_nothing(bootstrap: str, new_worker: NewWorker, reader: Reader) -> None:
    parts, feed = some_series(), Feed(bootstrap)
    values, signals = expected(parts)
    for round_, pause in enumerate((0.0, random.uniform(0, 0.3), random.uniform(0, 0.6))):
        # Each worker finds new bars, so that none is killed while it has nothing to do.
        feed.send_all(parts, rows=3, share=(round_ / 4, (round_ + 1) / 4))
        seen = len(reader.read().values)
        worker = new_worker()
        wait_until(lambda at=seen: len(reader.read().values) > at, "some rows")  # type: ignore[misc]
        time.sleep(pause)
        worker.kill()
    feed.send_all(parts, rows=3, share=(3 / 4, 1))
    new_worker()
    wait_until(lambda: len(reader.read().values) >= len(values), "all rows")
    written = reader.read()
    assert written.names == NAMES
    assert written.values == values
    assert set(written.signals) == signals
    assert written.repeated > 0, "killed too early to repeat anything"
    check_signal_rows([SignalRow.FromString(data) for data in written.signals.values()], parts)


def check_signal_rows(rows: list[SignalRow], parts: list[Series]) -> None:
    """Each carries its bar and what it was decided on."""
    bars = {(part.symbol, part.interval, ts_open): (part.close[at], at + 1) for part in parts for at, ts_open in enumerate(part.ts_open)}
    assert {row.type for row in rows} == {rule.type for rule in RULES}
    for row in rows:
        assert (row.price, row.volume) == bars[row.symbol, row.interval, row.ts_open]
        assert (row.ts_close - row.ts_open, row.revision, row.source_kind) == (row.interval * 10**9, 0, 2)
        rule = RULE_BY_TYPE[row.type]
        assert (row.direction, tuple(row.value_names)) == (rule.direction, rule.value_names)
        assert rule.check(dict(zip(row.value_names, row.values, strict=True))) == row.strength


def test_bad_records_go_to_the_dead_letters_and_work_goes_on(bootstrap: str, new_worker: NewWorker, reader: Reader) -> None:
    feed, buried = Feed(bootstrap), TopicOffsets(bootstrap, BARS.dead_letters().name)
    part, unused = walk_series("TEST.XSIM", 1, 20, 1), walk_series("TEST.XSIM", 300, 20, 1)
    worker = new_worker()
    for partition in range(PARTITIONS):
        feed.send_raw(b"not a batch", partition)
    feed.send(bar_batch([(unused, slice(0, 20))]))
    feed.send(bar_batch([(part, slice(0, 20))]))
    feed.send(bar_batch([(part, slice(10, 20))]))
    feed.flush()
    wait_until(lambda: len(reader.read().values) == 20, "the good rows")
    wait_until(lambda: buried.extents([0], 10)[0].end == PARTITIONS, "the dead letters")
    wait_until(lambda: worker.metric("signalbox_analysis_bars_repeated_total") == 10, "repeated bars are counted")
    assert {key[1] for key in reader.read().values} == {1}
    assert reader.read().repeated == 0
    worker.wait_ready()
    assert worker.terminate() == 0
