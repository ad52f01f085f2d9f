"""Too much, too fast, and while everything is being restarted: nothing is lost, nothing grows without end, nobody has to help."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import pytest
from signalbox.prices.v1 import prices_service_pb2 as pb
from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceStub

from services.analysis.intake import INTERVALS as ANALYSED
from services.prices.instruments import instrument_of
from services.runtime.columns import decode_bars, decode_indicators, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.stream.offsets import TopicOffsets
from services.runtime.testing import eventually
from services.runtime.topics import BARS, INDICATORS, JOBS, TICKS
from tests.bench.path import read_all, send
from tests.bench.schedule import Schedule
from tests.chaos.slow_disk import SlowDisk, seconds_of_acknowledgement
from tests.integration.whole_chain import MODULES, PARTITIONS, SECOND_NS, Identity, Load, Subscriber, WholeChain, places, volumes
from tests.processes import Process, Scale, Slowed

#: What a process may take to end, seconds; the supervisor kills it after that.
DRAIN_SECONDS = 10.0
MIB = 1 << 20


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[WholeChain]:
    # Small bounds, so that a burst of a test reaches them.
    settings = {"SIGNALBOX_MAX_UNACKNOWLEDGED_BYTES": str(MIB), "SIGNALBOX_INGEST_QUEUE_KIB": "4096", "SIGNALBOX_INGEST_ACK_TIMEOUT_MS": "60000"}
    with WholeChain(tmp_path, **settings) as running:
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


#: Of the burst: a worker runs for 10 ms of each quarter of a second while it comes.
_WORKER_STOPPED_S, _WORKER_RUNNING_S = 0.24, 0.01
_WORKERS = ("prices-worker", "analysis-worker")


async def test_ten_times_what_the_workers_can_do_is_seen_and_worked_off(chain: WholeChain) -> None:
    """The workers get little time while ticks come as fast as they can be sent; until the last of them is there they have taken a tenth at most."""
    chain.start(*_WORKERS)
    workers, bootstrap = [chain.processes[name] for name in _WORKERS], chain.broker.bootstrap
    schedule = Schedule(100_000, 20.0, 200, 0, time.time_ns() // SECOND_NS * SECOND_NS)
    with ExitStack() as stack:
        scales = {name: stack.enter_context(Scale(chain.processes[name].pid)) for name in _WORKERS}
        with ExitStack() as slowed:
            for worker in workers:
                slowed.enter_context(Slowed(worker.pid, _WORKER_STOPPED_S, _WORKER_RUNNING_S))
            sent_s = await asyncio.to_thread(_send_at_once, bootstrap, schedule)
            # Asked while they are slow still, so that it says too much rather than too little.
            taken = await eventually(partial(_reading, workers[0], "signalbox_stream_records_total"), timeout_s=60)
            lags = [await eventually(partial(_reading, workers[0], "signalbox_stream_lag_records", _records(schedule) / 2), timeout_s=60)]
        while (left := await asyncio.to_thread(_lag, chain)) or await asyncio.to_thread(_behind, chain):
            lags.append(left)
            await asyncio.sleep(0.25)
    grown = {name: scale.grown / MIB for name, scale in scales.items()}
    print(f"{_records(schedule)} records in {sent_s:.1f} s, {taken:.0f} taken meanwhile, lag {lags[0]:.0f}, then at most {max(lags):.0f}, grown by MiB {grown}")
    assert 10 * taken <= _records(schedule), f"took {taken:.0f} of {_records(schedule)} records in {sent_s:.1f} s"
    assert max(grown.values()) < 200, grown
    await eventually(partial(_indicators_of_all_bars, bootstrap, set(schedule.names)), timeout_s=60)
    assert await asyncio.to_thread(_final_volumes, bootstrap) == volumes(schedule, schedule.count)


async def _reading(worker: Process, name: str, above: float = 0.0) -> float:
    """A metric, when it is above so much, else 0. A slowed process may take longer for an answer than one waits, and then there is none."""
    found = await asyncio.to_thread(worker.metric, name)
    return found if found > above else 0.0


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
            yield _message(number, time.time_ns())
            written = number + 1

    gone_on, stalled_at = asyncio.Event(), 0
    async with grpc.aio.insecure_channel(chain.prices_address) as channel:
        with Scale(chain.processes["prices"].pid) as scale:
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


def _message(number: int, ts_event: int) -> pb.IngestTicksRequest:
    """ts_event: of all its ticks, UTC ns."""
    message = pb.IngestTicksRequest(source="test:flood")
    for at in range(_TICKS):
        tick = message.ticks.add(symbol="TEST.XSIM", price=100.0, size=1.0, seq=number * _TICKS + at + 1)
        tick.ts_event.FromNanoseconds(ts_event)
    return message


async def _standstill(count: Callable[[], int]) -> int:
    """What a count stands at once it has not moved for two seconds."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < 2.0:
        await asyncio.sleep(0.1)
        if count() != seen:
            seen, since = count(), time.monotonic()
    return seen


#: Of the slow disk: ticks that come at once, more than ten times what then gets through; messages of a client besides; looks, each half a second.
_SLOW_RATE, _SLOW_MESSAGES, _SLOW_LOOKS = 100_000, 500, 24


async def test_a_slow_disk_slows_the_senders_and_loses_nothing(chain: WholeChain) -> None:
    """Ticks come as fast as they can be sent, by Kafka and by a client, while the broker takes a quarter of a second for each answer."""
    chain.start("prices", *_WORKERS, "gateway")
    bootstrap, schedule = chain.broker.bootstrap, Schedule(_SLOW_RATE, 10.0, 200, 0, time.time_ns() // SECOND_NS * SECOND_NS)
    flood = _Flood(chain)
    quick = await asyncio.to_thread(seconds_of_acknowledgement, bootstrap, JOBS.name, 1.0)
    with ExitStack() as stack:
        scales = {name: stack.enter_context(Scale(process.pid)) for name, process in chain.processes.items()}
        with SlowDisk(chain.broker.pid):
            slow = await asyncio.to_thread(seconds_of_acknowledgement, bootstrap, JOBS.name, 3.0)
            client = asyncio.create_task(flood.run())
            burst = asyncio.create_task(asyncio.to_thread(_send_at_once, bootstrap, schedule))
            lags = []
            for _ in range(_SLOW_LOOKS):
                await asyncio.sleep(0.5)
                lags.append(await asyncio.to_thread(_lag, chain))
            ahead = list(flood.ahead)
        await asyncio.gather(client, burst)
        while (left := await asyncio.to_thread(_lag, chain)) or await asyncio.to_thread(_behind, chain):
            lags.append(left)
            await asyncio.sleep(0.25)
    assert slow > 5 * quick, f"an acknowledgement took {slow * 1000:.1f} ms, before {quick * 1000:.1f} ms"
    assert max(lags) > 0
    # What the client was let send and the broker did not have: not all of it, though nothing but the flow control kept it back.
    grown = {name: scale.grown / MIB for name, scale in scales.items()}
    print(f"acknowledgements {quick * 1000:.1f} -> {slow * 1000:.0f} ms, lag at most {max(lags):.0f} records, grown by MiB {grown}, ahead {ahead}")
    assert 0 < max(ahead) < _SLOW_MESSAGES // 2, ahead
    assert max(grown.values()) < 400, grown
    expected = volumes(schedule, schedule.count)
    # That a record was read does not say that what follows from it has arrived.
    await eventually(partial(_indicators_of_all_bars, bootstrap, set(schedule.names)), timeout_s=60)
    found = await asyncio.to_thread(_final_volumes, bootstrap)
    assert {identity: volume for identity, volume in found.items() if identity[0] != FLOOD} == expected
    assert sum(volume for (symbol, _), volume in found.items() if symbol == FLOOD) == flood.sent * _TICKS * 10**FLOOD_DIGITS


def _lag(chain: WholeChain) -> float:
    return sum(chain.processes[name].metric("signalbox_stream_lag_records") for name in _WORKERS)


def _behind(chain: WholeChain) -> bool:
    """Whether anything is on its way: records in the workers' topics that they have not read, asked of the broker itself."""
    for name, topic in zip(_WORKERS, (TICKS, BARS), strict=True):
        extents = TopicOffsets(chain.broker.bootstrap, topic.name).extents(range(PARTITIONS), 20)
        if chain.processes[name].metric("signalbox_stream_position") < sum(extent.end for extent in extents.values()):
            return True
    return False


#: The flood's symbol, and the digits of its sizes.
FLOOD = "TEST.XSIM"
FLOOD_DIGITS = instrument_of(FLOOD).size_digits


class _Flood:
    """A client of IngestTicks that sends whatever it is let send."""

    def __init__(self, chain: WholeChain) -> None:
        self._chain = chain
        self.sent = 0
        self._began = time.time_ns() - 30 * SECOND_NS
        self.ahead: list[int] = []
        """Messages sent that the broker did not have, again and again while it sent."""

    async def run(self) -> None:
        """To the end. Raises AssertionError when anything was not accepted."""
        async with grpc.aio.insecure_channel(self._chain.prices_address) as channel:
            call = asyncio.ensure_future(PricesServiceStub(channel).IngestTicks(self._messages()))
            while not call.done():
                accepted = await asyncio.to_thread(self._chain.processes["prices"].metric, "signalbox_prices_ingest_accepted_total")
                self.ahead.append(self.sent - int(accepted) // _TICKS)
                await asyncio.sleep(0.2)
            answer = call.result()
        assert (answer.accepted, answer.rejected) == (self.sent * _TICKS, 0)

    async def _messages(self) -> AsyncIterator[pb.IngestTicksRequest]:
        for number in range(_SLOW_MESSAGES):
            # A few messages in each second of event time, however fast they go: rows wait in the engine until their second is over.
            message = _message(number, self._began + number * 25_000_000)
            if number == _SLOW_MESSAGES - 1:
                message.watermark.FromNanoseconds(self._began + number * 25_000_000 + 2 * SECOND_NS)
            yield message
            self.sent = number + 1


async def _indicators_of_all_bars(bootstrap: str, symbols: set[str]) -> bool:
    """Whether each bar has its row of indicators, once, and the bars of these symbols' sessions, which come last, are there."""
    bars, indicators = await asyncio.to_thread(_bar_rows, bootstrap), await asyncio.to_thread(_indicator_rows, bootstrap)
    return bars == indicators and {symbol for symbol, interval, _ in bars if interval == max(ANALYSED)} >= symbols


#: Symbol, seconds of the interval, open time.
_Row = tuple[str, int, int]


def _bar_rows(bootstrap: str) -> Counter[_Row]:
    """Bars of the lengths that are analysed."""
    found: Counter[_Row] = Counter()
    for value in read_all(bootstrap, BARS.name, PARTITIONS):
        bars = decode_bars(value)
        found.update(zip([bars.instruments[number].symbol for number in bars.instrument], bars.interval.tolist(), bars.ts_open.tolist(), strict=True))
    return Counter({row: count for row, count in found.items() if row[1] in ANALYSED})


def _indicator_rows(bootstrap: str) -> Counter[_Row]:
    found: Counter[_Row] = Counter()
    for value in read_all(bootstrap, INDICATORS.name, PARTITIONS):
        rows = decode_indicators(value)
        found.update(zip([rows.symbols[number] for number in rows.symbol], rows.interval.tolist(), rows.ts_open.tolist(), strict=True))
    return found
