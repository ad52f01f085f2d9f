"""A source that nobody can end any more, because what wrote it was killed, does not hold its symbols back for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from signalbox.prices.v1 import prices_service_pb2 as pb
from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceStub
from typer.testing import CliRunner

from deploy.local.cli import app
from services.prices.sessions import SessionTable
from services.runtime.columns import InstrumentRef, TickColumns, decode_bars, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.kafka import Record, TopicReader, make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.partitions import partition_of
from services.runtime.testing import eventually
from services.runtime.topics import BARS, TICKS
from tests.integration.prices_process import PricesProcess
from tests.ports import free_ports
from tests.processes import Process
from tests.servers import new_broker

PARTITIONS = 4
SECOND_NS = 10**9


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with new_broker(tmp_path_factory.mktemp("open-sources-kafka")) as broker:
        ensure_topics(broker.bootstrap, PARTITIONS)
        yield broker.bootstrap


@pytest.fixture(scope="module")
def worker(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    home, port = tmp_path_factory.mktemp("open-sources-worker"), free_ports(1)[0]
    none = np.empty(0, np.int64)
    SessionTable({}, np.zeros(1, np.int64), none, none, none).save(home / "tables" / "sessions.npz")
    env = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "SIGNALBOX_HOME": str(home), "SIGNALBOX_PRICES_WORKER_METRICS_PORT": str(port)}
    process = Process(["services.prices.worker"], home / "log", port, env)
    try:
        process.wait_ready()
        yield process
    finally:
        process.kill()


class FinalSeconds:
    """The seconds of which a symbol has final bars."""

    def __init__(self, bootstrap: str) -> None:
        self._records: list[Record] = []
        self._reader = TopicReader(bootstrap, [BARS.name], self._records.extend)
        self._reader.start()

    def of(self, symbol: str) -> set[int]:
        batches = [decode_bars(record.value) for record in list(self._records)]
        return {
            int(opened)
            for bars in batches
            for number, interval, opened in zip(bars.instrument, bars.interval, bars.ts_open, strict=True)
            if bars.instruments[number].symbol == symbol and interval == 1
        }

    def stop(self) -> None:
        self._reader.stop()


@pytest.fixture
def final(bootstrap: str, worker: Process) -> Iterator[FinalSeconds]:
    final = FinalSeconds(bootstrap)
    yield final
    final.stop()


def request(source: str, symbol: str, *times: int) -> pb.IngestTicksRequest:
    made = pb.IngestTicksRequest(source=source)
    for seq, time_ns in enumerate(times, 1):
        tick = made.ticks.add(symbol=symbol, price=100.0, size=1.0, seq=seq)
        tick.ts_event.FromNanoseconds(time_ns)
    return made


async def stay_open(first: pb.IngestTicksRequest) -> AsyncIterator[pb.IngestTicksRequest]:
    yield first
    await asyncio.Event().wait()


async def test_a_killed_door_ends_at_its_start_what_it_had_open(bootstrap: str, final: FinalSeconds, tmp_path: Path) -> None:
    symbol, begin = "KILLED.XSIM", time.time_ns() // SECOND_NS * SECOND_NS - 60 * SECOND_NS
    seconds = [begin + number * SECOND_NS for number in range(20)]
    killed, next_life = PricesProcess(bootstrap, tmp_path / "log"), PricesProcess(bootstrap, tmp_path / "log")
    try:
        await killed.start()
        async with grpc.aio.insecure_channel(killed.address) as channel:
            call = PricesServiceStub(channel).IngestTicks(stay_open(request("client:killed", symbol, begin)))
            await eventually(lambda: 'ingest_accepted_total{source_kind="live"} 1.0' in killed.metrics())
            killed.kill()
            with pytest.raises(grpc.aio.AioRpcError):
                await call
        await next_life.start()
        async with grpc.aio.insecure_channel(next_life.address) as channel:
            call = PricesServiceStub(channel).IngestTicks(stay_open(request("client:other", symbol, *seconds)))
            # The last one is forming, and two more are within the bound of lateness.
            await eventually(lambda: final.of(symbol) == set(seconds[:-3]))
            call.cancel()
    finally:
        killed.kill()
        next_life.kill()


async def test_a_person_can_end_a_source(bootstrap: str, final: FinalSeconds, tmp_path: Path) -> None:
    """As after a kill of `signalbox replay`, of which no door knows."""
    symbol, begin = "REPLAYED.XSIM", time.time_ns() // SECOND_NS * SECOND_NS - 60 * SECOND_NS
    seconds = [begin + number * SECOND_NS for number in range(20)]
    write(bootstrap, "replay:killed", symbol, begin)
    door = PricesProcess(bootstrap, tmp_path / "log")
    try:
        await door.start()
        async with grpc.aio.insecure_channel(door.address) as channel:
            call = PricesServiceStub(channel).IngestTicks(stay_open(request("client:open", symbol, *seconds)))
            await eventually(lambda: 'ingest_accepted_total{source_kind="live"} 20.0' in door.metrics())
            assert not final.of(symbol)
            port = {"SIGNALBOX_EDGE_PORT": str(door.port)}
            ended = await asyncio.to_thread(CliRunner(env=port).invoke, app, ["end-source", "replay:killed"])
            assert (ended.exit_code, ended.stdout) == (0, "replay:killed has ended.\n"), ended.output
            await eventually(lambda: final.of(symbol) == set(seconds[:-3]))
            call.cancel()
    finally:
        door.kill()


def write(bootstrap: str, source: str, symbol: str, ts: int) -> None:
    one = np.ones(1, np.int64)
    ticks = TickColumns(source, 2, (InstrumentRef(symbol, 2, 0),), np.zeros(1, np.uint32), ts * one, ts * one, 10_000 * one, one, one)
    producer = make_producer(bootstrap)
    producer.produce(
        TICKS.name, encode_ticks(ticks), partition=partition_of(symbol, PARTITIONS), headers=dict(record_headers("TickBatch", "killed/1", feed=source))
    )
    assert producer.flush(20) == 0
