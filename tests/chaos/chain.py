"""The real chain on a broker of its own: workers as processes, ticks that keep coming, an observer of everything that is written."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deploy.local.valkey import EmbeddedValkey
from services.runtime.columns import encode_ticks
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.topics import ANALYSIS_CHECKPOINTS, BARS, INDICATORS, PRICES_CHECKPOINTS, TICKS, Topic
from tests.chaos.ledger import Ledger
from tests.chaos.load import Market, Record
from tests.chaos.observer import Observer
from tests.chaos.rows import expected_rows, session_table
from tests.ports import free_ports
from tests.processes import Process, wait_until
from tests.servers import new_broker

#: Patience of waits, seconds; reached only when something is wrong.
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the two workers."""

    name: str
    module: str
    port_setting: str
    input: Topic
    output: Topic
    checkpoints: Topic


PRICES = Kind("prices", "services.prices.worker", "SIGNALBOX_PRICES_WORKER_METRICS_PORT", TICKS, BARS, PRICES_CHECKPOINTS)
ANALYSIS = Kind("analysis", "services.analysis.worker", "SIGNALBOX_ANALYSIS_WORKER_METRICS_PORT", BARS, INDICATORS, ANALYSIS_CHECKPOINTS)
KINDS = (PRICES, ANALYSIS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison found. It has raised already when anything was wrong."""

    rows: dict[str, int]
    """Distinct rows by topic, all equal to the oracle's."""
    repeats: int
    """Rows that came more than once, each time the same."""
    ticks: int
    """Rows sent, those sent twice counted twice."""
    commits_checked: int
    """Comparisons of a committed offset with the checkpoints."""
    ended_alone: list[str]
    """Workers that ended by themselves, for instance when they found that they had been replaced, and were started again."""
    moved_sessions: int
    """Daily bars of replays that were moved by weeks."""


class Chain:
    """Use as a context manager; workers are started with `start`.

    rows: ticks of each symbol's first source every 50 ms. steps: how many times; None = until `settle`. cuts: as in Market.
    """

    def __init__(
        self, home: Path, seed: int, *, partitions: int = 4, rows: int = 5, steps: int | None = None, cuts: int = 0, env: dict[str, str] | None = None
    ) -> None:
        self.home, self.partitions = home, partitions
        self.market = Market(partitions, seed, cuts)
        self._steps = steps
        self.broker = new_broker(home / "kafka")
        self.valkey = EmbeddedValkey(home / "valkey", free_ports(1)[0])
        self.workers: dict[tuple[str, int], Process] = {}
        self.ended_alone: list[str] = []
        """Workers that ended by themselves, each with its exit code."""
        self._env = env or {}
        self._rows = rows
        self._stack = ExitStack()
        self._stop = threading.Event()
        self._load = threading.Thread(target=self._pump)
        self._load_failure: BaseException | None = None
        self._sent = 0

    def __enter__(self) -> Chain:
        self._stack.enter_context(self.broker)
        self._stack.enter_context(self.valkey)
        session_table().save(self.home / "tables" / "sessions.npz")
        ensure_topics(self.broker.bootstrap, self.partitions)
        self._producer = make_producer(self.broker.bootstrap)
        self.observer = self._stack.enter_context(Observer(self.broker.bootstrap, self.partitions))
        self.ledger = self._stack.enter_context(Ledger(self.broker.bootstrap, self.partitions, {f"signalbox-{kind.name}": kind for kind in KINDS}))
        self.started = time.time()
        self.observer.watch(self.started)
        self._stack.callback(self._end_workers)
        self._stack.callback(self._stop_load)
        self._load.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start(self, kind: Kind, replica: int = 0, wrapped: bool = False, **env: str) -> Process:
        """A worker; with `wrapped` it has a fault of tests.chaos.wrapped that `env` describes."""
        port = free_ports(1)[0]
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "REDIS_URL": self.valkey.url,
            "SIGNALBOX_HOME": str(self.home),
            "SIGNALBOX_PARTITIONS": str(self.partitions),
            "SIGNALBOX_REPLICA": str(replica),
            "SIGNALBOX_LOG_FORMAT": "text",
            kind.port_setting: str(port),
            **self._env,
            **env,
        }
        arguments = ["tests.chaos.wrapped", kind.module] if wrapped else [kind.module]
        worker = Process(arguments, self.log_of(kind, replica), port, settings)
        self.workers[kind.name, replica] = worker
        return worker

    def log_of(self, kind: Kind, replica: int = 0) -> Path:
        """The log of all that ran as this replica."""
        return self.home / f"{kind.name}-{replica}.log"

    def worker(self, kind: Kind, replica: int = 0) -> Process:
        """The one that was started last."""
        return self.workers[kind.name, replica]

    def keep_running(self) -> None:
        """As a supervisor does: replica 0 of each kind that has ended by itself is started again."""
        for kind in KINDS:
            if not self.worker(kind).running:
                self.ended_alone.append(f"{kind.name}-worker: {self.worker(kind).process.returncode}")
                self.start(kind)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Waits, keeps workers running meanwhile, and raises what went wrong in the threads."""

        def look() -> bool:
            self.check()
            return condition()

        wait_until(look, what, PATIENCE_SECONDS)

    def recovery(self, kind: Kind, since: float) -> float:
        """Seconds from `since` (time.time()) until every partition of the worker's output has a new row that was made after it."""

        def resumed() -> bool:
            self.keep_running()
            return self.observer.resumed_at(kind.output.name, since) is not None

        self.wait_for(resumed, f"new rows in all partitions of {kind.output.name}")
        return (self.observer.resumed_at(kind.output.name, since) or 0) - since

    def check(self) -> None:
        """Raises whatever a thread found."""
        self.observer.check()
        self.ledger.check()
        if self._load_failure is not None:
            raise self._load_failure

    def settle(self) -> Verdict:
        """Closes the sources, drains, and compares every row with the oracle."""
        if self._steps is not None:
            self._load.join()
        self._stop_load()
        self._send(self.market.closing())
        assert self._producer.flush(PATIENCE_SECONDS) == 0
        expected = expected_rows(self.market.sent.values())
        seen = self.observer.seen

        def drained() -> bool:
            self.keep_running()
            return self.observer.count() >= len(expected)

        self.wait_for(drained, f"{len(expected)} distinct rows")
        missing, extra = expected.keys() - seen.rows.keys(), seen.rows.keys() - expected.keys()
        assert not missing, f"{len(missing)} rows are missing, such as {sorted(missing)[:3]}"
        assert not extra, f"{len(extra)} rows should not be, such as {sorted(extra)[:3]}"
        wrong = sorted(identity for identity, row in expected.items() if seen.rows[identity] != row)
        assert not wrong, f"{len(wrong)} rows differ from the oracle's, such as {wrong[:3]}"
        self.check()
        rows = {topic: sum(identity[0] == topic for identity in expected) for topic in sorted({identity[0] for identity in expected})}
        loops = {(row.symbol, row.shift) for row in self.market.sent.values() if row.shift}
        return Verdict(rows, seen.repeats, self.market.rows_sent, self.ledger.checked, self.ended_alone, len(loops))

    def _pump(self) -> None:
        try:
            self._send(self.market.opening())
            while not self._stop.wait(0.05) and self._steps != 0:
                self._steps = self._steps and self._steps - 1
                self._producer.poll(0)
                # While the broker is away there is no point in piling up more than a little.
                if len(self._producer) < 5_000:
                    self._send(self.market.advance(self._rows))
        except BaseException as error:  # noqa: BLE001 - raised again by check()
            self._load_failure = error

    def _send(self, records: list[Record]) -> None:
        for partition, ticks in records:
            self._sent += 1
            headers: list[tuple[str, str | bytes | None]] = [*record_headers(TICKS.message, f"chaos/{self._sent}", feed=ticks.source)]
            self._producer.produce(TICKS.name, encode_ticks(ticks), partition=partition, headers=headers)
            self._producer.poll(0)

    def _stop_load(self) -> None:
        self._stop.set()
        if self._load.is_alive():
            self._load.join()

    def _end_workers(self) -> None:
        for worker in self.workers.values():
            worker.end()


def now() -> float:
    """The clock that records carry."""
    return time.time()


def seed_of(text: str | None = None) -> int:
    """A seed: the one given, that of CHAOS_SEED, or a new one. It is printed, so that a run can be repeated."""
    seed = int(text or os.environ.get("CHAOS_SEED") or time.time_ns() % 1_000_000)
    print(f"chaos seed {seed}", flush=True)
    return seed
