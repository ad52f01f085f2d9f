"""What recording traces costs the feed and the two workers: CPU per million ticks, off, at the default ratio, and with every trace recorded.

One process does what the three do with each batch: the feed's span, the prices processor (forming bars now and then) and the analysis processor; spans go
to a real receiver in another process, and the thread that sends them is counted. Kafka and Faust are left out: with them a batch costs more and tracing is
a smaller part of it. Each way is run several times in turns and its cheapest run counts, because whatever else the machine does only adds to it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from services.analysis.stream import AnalysisProcessor
from services.prices.sessions import SessionTable
from services.prices.stream import PricesProcessor
from services.runtime.headers import RecordHeaders, record_headers
from services.runtime.record_spans import sending
from services.runtime.stream.records import InputRecord, Output, Processor
from services.runtime.stream.traced import traced
from services.runtime.telemetry import configure_tracing, end_tracing
from services.runtime.topics import BARS, TICKS
from services.runtime.tracing_settings import TracingSettings
from tests.bench import workload
from tests.bench.results import Result
from tests.servers import REPOSITORY

TICKS_COUNT = 1_000_000
SYMBOLS = 500
PARTITIONS = 4
BATCH_ROWS = 512
#: Runs of each way.
TURNS = 5
#: Batches between two looks at forming bars: 20 ms at 200 batches a second.
LIVE_EVERY = 4
LATENESS_NS, SNAPSHOT_NS = 2_000_000_000, 250_000_000

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
#: Way -> variables that switch it on; none for off; empty is the receiver's address.
WAYS: dict[str, dict[str, str]] = {"off": {}, "default": {_ENDPOINT: ""}, "all": {_ENDPOINT: "", "OTEL_TRACES_SAMPLER": "always_on"}}


def run() -> list[Result]:
    """The two costs against none."""
    records = list(workload.batches(workload.trades(TICKS_COUNT, SYMBOLS), BATCH_ROWS, PARTITIONS))
    best = dict.fromkeys(WAYS, float("inf"))
    with _receiver() as endpoint:
        # The first run compiles and warms.
        _cpu_seconds(records, {}, "")
        for _ in range(TURNS):
            for way, variables in WAYS.items():
                best[way] = min(best[way], _cpu_seconds(records, variables, endpoint))
    off, ratio = best["off"] * 1e6 / TICKS_COUNT, TracingSettings.model_fields["traces_sampler_arg"].default
    return [
        Result("tracing.cpu_share", best["default"] / best["off"] - 1, f"of this CPU, 1 in {1 / ratio:.0f} recorded", higher_is_better=False),
        Result("tracing.cpu_s_per_million", best["default"] * 1e6 / TICKS_COUNT, "s", f"off (1 in {1 / ratio:.0f} recorded)", off, False),
        Result("tracing.cpu_s_per_million.all", best["all"] * 1e6 / TICKS_COUNT, "s", "off (every trace recorded)", off, False),
    ]


@contextmanager
def _receiver() -> Iterator[str]:
    """Address of a receiver in a process of its own."""
    command = [sys.executable, "-m", "tests.otlp_receiver"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _cpu_seconds(records: list[tuple[int, bytes]], variables: dict[str, str], endpoint: str) -> float:
    """Of this process, from the first batch to the last span sent."""
    with pytest.MonkeyPatch.context() as patch:
        for name, text in variables.items():
            patch.setenv(name, text or endpoint)
        configure_tracing("bench")
    chain = _Chain(SessionTable.utc_only())
    began = time.process_time()
    for number, (partition, value) in enumerate(records):
        chain.take(partition, value, number)
    end_tracing()
    return time.process_time() - began


class _Chain:
    """Feed, prices-worker and analysis-worker without Kafka between them."""

    def __init__(self, sessions: SessionTable) -> None:
        def prices(partition: int) -> Processor:
            return PricesProcessor(partition, PARTITIONS, sessions, LATENESS_NS, SNAPSHOT_NS)

        self._prices, self._analysis = _each(prices), _each(AnalysisProcessor)

    def take(self, partition: int, value: bytes, number: int) -> None:
        with sending(TICKS.name, partition, rows=BATCH_ROWS, symbols=SYMBOLS) as traceparent:
            headers: RecordHeaders = record_headers(TICKS.message, f"bench/{number}", traceparent, feed=workload.SOURCE)
        for output in self._prices[partition].process(InputRecord(TICKS.name, partition, number, value, headers)):
            if output.topic == BARS.name:
                self._analyse(output, number)
        if number % LIVE_EVERY == 0:
            self._prices[partition].live(time.time_ns())

    def _analyse(self, bars: Output, number: int) -> None:
        self._analysis[bars.partition].process(InputRecord(bars.topic, bars.partition, number, bars.value, bars.headers))


def _each(make: Callable[[int], Processor]) -> list[Processor]:
    return [traced(make(partition)) for partition in range(PARTITIONS)]
