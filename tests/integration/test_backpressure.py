"""Too much, too fast, and while everything is being restarted: nothing is lost, nothing grows without end, nobody has to help."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from signalbox.prices.v1 import prices_service_pb2 as pb
from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceStub

from services.runtime.columns import decode_bars, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.testing import eventually
from services.runtime.topics import BARS, TICKS
from tests.bench.path import read_all, send
from tests.bench.schedule import Schedule
from tests.integration.whole_chain import MODULES, PARTITIONS, SECOND_NS, Identity, Load, Subscriber, WholeChain, places, volumes
from tests.processes import Process

#: What a process may take to end, seconds; the supervisor kills it after that.
DRAIN_SECONDS = 10.0
MIB = 1 << 20


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[WholeChain]:
    # Small bounds, so that a burst of a test reaches them.
    with WholeChain(tmp_path, SIGNALBOX_MAX_UNACKNOWLEDGED_BYTES=str(MIB), SIGNALBOX_INGEST_ACK_TIMEOUT_MS="60000") as running:
        yield running


async def test_a_rolling_restart_under_load_loses_no_tick_and_no_bar_of_a_client(chain: WholeChain) -> None:
    chain.start(*MODULES)
    chain.start_envoy()
    subscriber = Subscriber(chain.edge)
    listening = asyncio.create_task(subscriber.run())
    with Load(chain.broker.bootstrap, 2_000, 20) as load:
        await eventually(lambda: len(subscriber.bars) > 20, timeout_s=30)
        for name in MODULES:
            await asyncio.to_thread(_restart, chain, name)
        # It comes back by itself after the gateway's end, and after Envoy's.
        await eventually(lambda: subscriber.connections == 2, timeout_s=30)
        await asyncio.to_thread(chain.start_envoy)
        await eventually(lambda: subscriber.connections == 3, timeout_s=30)
        expected = await asyncio.to_thread(load.settle)
    await eventually(lambda: listening.done() or len(subscriber.bars) >= len(expected), timeout_s=60)
    assert not listening.done(), listening.exception()
    assert subscriber.bars == expected
    # Of the gateway's end, before it.
    assert subscriber.warnings == 1
    listening.cancel()


def _restart(chain: WholeChain, name: str) -> None:
    process, began = chain.processes[name], time.monotonic()
    assert process.terminate() == 0, process.log[-2000:]
    assert time.monotonic() - began < DRAIN_SECONDS
    chain.start(name)


async def test_a_burst_beyond_what_the_worker_can_do_is_seen_and_worked_off(chain: WholeChain) -> None:
    chain.start("prices-worker")
    worker = chain.processes["prices-worker"]
    schedule = Schedule(100_000, 20.0, 200, 0, time.time_ns() // SECOND_NS * SECOND_NS)
    with _Scale(worker) as scale:
        sent_s = await asyncio.to_thread(_send_at_once, chain.broker.bootstrap, schedule)
        taken = worker.metric("signalbox_stream_records_total")
        lags = [worker.metric("signalbox_stream_lag_records")]
        while not (lags[-1] == 0 and worker.metric("signalbox_stream_records_total") >= _records(schedule)):
            await asyncio.sleep(0.25)
            lags.append(worker.metric("signalbox_stream_lag_records"))
    # It came faster than it could be taken, which could be seen while it lasted.
    assert taken < _records(schedule), f"sent in {sent_s:.1f} s"
    assert max(lags) > 0
    assert scale.grown < 200 * MIB, f"grew by {scale.grown / MIB:.0f} MiB"
    assert await asyncio.to_thread(_final_volumes, chain.broker.bootstrap) == volumes(schedule, schedule.count)


#: Rows of a record of the burst: small ones, for it is the number of records that a worker finds hard.
_BURST_ROWS = 100


def _records(schedule: Schedule) -> int:
    return sum(-(-int(count) // _BURST_ROWS) for count in np.bincount(places(schedule))) + PARTITIONS


def _send_at_once(bootstrap: str, schedule: Schedule) -> float:
    place = places(schedule)
    headers = list(record_headers(TICKS.message, "burst"))
    records = [(partition, encode_ticks(schedule.columns(rows))) for partition in range(PARTITIONS) for rows in _cuts(np.flatnonzero(place == partition))]
    records += [(partition, encode_ticks(schedule.end())) for partition in range(PARTITIONS)]
    began = time.monotonic()
    send(make_producer(bootstrap), TICKS.name, records, headers)
    return time.monotonic() - began


def _cuts(rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    for first in range(0, len(rows), _BURST_ROWS):
        yield rows[first : first + _BURST_ROWS]


def _final_volumes(bootstrap: str) -> Counter[Identity]:
    found: Counter[Identity] = Counter()
    for value in read_all(bootstrap, BARS.name, PARTITIONS):
        bars = decode_bars(value)
        for at in np.flatnonzero(bars.interval == 1).tolist():
            found[bars.instruments[bars.instrument[at]].symbol, int(bars.ts_open[at]) // 1_000_000] += int(bars.volume[at])
    return found


class _Scale:
    """Weighs a process while it is entered."""

    def __init__(self, process: Process) -> None:
        self._process = psutil.Process(process.process.pid)
        self._before = self._peak = self._process.memory_info().rss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._weigh)

    def __enter__(self) -> _Scale:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        """Bytes above what it was before."""
        return self._peak - self._before

    def _weigh(self) -> None:
        while not self._stop.wait(0.05):
            self._peak = max(self._peak, self._process.memory_info().rss)


#: Messages that a client would send if it were let; each of 2,000 ticks, about 120 KB.
_MESSAGES, _TICKS = 3_000, 2_000


async def test_a_client_of_ingest_ticks_waits_for_the_broker(chain: WholeChain) -> None:
    chain.start("prices")
    written = 0

    async def messages() -> AsyncIterator[pb.IngestTicksRequest]:
        nonlocal written
        for number in range(_MESSAGES):
            if gone_on.is_set() and number >= stalled_at + 50:
                return
            yield _message(number)
            written = number + 1

    gone_on, stalled_at = asyncio.Event(), 0
    async with grpc.aio.insecure_channel(chain.prices_address) as channel:
        with _Scale(chain.processes["prices"]) as scale:
            os.kill(chain.broker.pid, signal.SIGSTOP)
            try:
                call = asyncio.ensure_future(PricesServiceStub(channel).IngestTicks(messages()))
                stalled_at = await _standstill(lambda: written)
            finally:
                os.kill(chain.broker.pid, signal.SIGCONT)
            gone_on.set()
            answer = await asyncio.wait_for(call, 60)
    assert 0 < stalled_at < _MESSAGES
    assert written > stalled_at
    assert (answer.accepted, answer.rejected) == (written * _TICKS, 0)
    assert scale.grown < 400 * MIB, f"grew by {scale.grown / MIB:.0f} MiB"


def _message(number: int) -> pb.IngestTicksRequest:
    message = pb.IngestTicksRequest(source="test:flood")
    now = time.time_ns()
    for at in range(_TICKS):
        tick = message.ticks.add(symbol="TEST.XSIM", price=100.0, size=1.0, seq=number * _TICKS + at + 1)
        tick.ts_event.FromNanoseconds(now)
    return message


async def _standstill(count: Callable[[], int]) -> int:
    """What a count stands at once it has not moved for two seconds."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < 2.0:
        await asyncio.sleep(0.1)
        if count() != seen:
            seen, since = count(), time.monotonic()
    return seen
