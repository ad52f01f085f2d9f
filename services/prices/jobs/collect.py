"""The kind `history.collect`: bars of the past from a source into market.bars.v1. What is there already is left as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import grpc
import numpy as np
from google.protobuf.message import Message
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import history_job_pb2 as pb
from signalbox.prices.v1 import prices_service_pb2 as prices_pb
from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceStub

from services.prices.feeds.outbox import Outbox
from services.prices.jobs.files import BarFile
from services.prices.jobs.settings import PricesJobsSettings
from services.prices.jobs.stocks import RecordedStocks
from services.prices.jobs.table import BarTable, HistorySource, Ints, SourceFailed
from services.prices.jobs.yahoo import YahooCharts
from services.prices.sessions import SessionTable, default_path
from services.runtime.clock import Clock, SystemClock
from services.runtime.columns import encode_bars
from services.runtime.errors import InvalidArgument, SignalboxError, Unavailable
from services.runtime.grpc_client import channel
from services.runtime.headers import record_headers
from services.runtime.job_kinds import HISTORY_COLLECT
from services.runtime.jobs import JobContext, JobHandler
from services.runtime.kafka import KafkaPublisher, make_producer
from services.runtime.partitions import partition_of
from services.runtime.settings import load_settings
from services.runtime.timestamps import MAX_TIME_NS, nanoseconds, timestamp
from services.runtime.topics import BARS

SOURCES = ("stocks", "file", "yahoo")
_SECONDS = {
    market_pb2.INTERVAL_1S: 1,
    market_pb2.INTERVAL_1M: 60,
    market_pb2.INTERVAL_5M: 300,
    market_pb2.INTERVAL_15M: 900,
    market_pb2.INTERVAL_1H: 3600,
    market_pb2.INTERVAL_1D: 86_400,
}
#: Rows in one record: some 200 kB.
_MAX_ROWS = 2_048
_MAX_SYMBOLS = 10_000


class CollectCancelled(SignalboxError):
    """Somebody asked for the end."""

    reason = "CANCELLED"


def history_collect_handler() -> JobHandler:
    """For the worker; its settings are read again in the process in which it runs."""
    return JobHandler(HISTORY_COLLECT, run_history_collect, retry_on=(Unavailable,))


def run_history_collect(request: Message, context: JobContext) -> pb.CollectHistoryResult:
    """The function of the kind. Raises InvalidArgument, Unavailable (Kafka, prices, the source), CollectCancelled."""
    settings = load_settings(PricesJobsSettings)
    return asyncio.run(collect_history(cast("pb.CollectHistoryRequest", request), context, settings))


async def collect_history(request: pb.CollectHistoryRequest, context: JobContext, settings: PricesJobsSettings) -> pb.CollectHistoryResult:
    """One collection with everything it needs."""
    clock = SystemClock()
    publisher = KafkaPublisher(make_producer(settings.kafka_bootstrap_servers))
    async with channel(settings.prices_address) as prices, _source(request, settings, clock) as source:
        try:
            outbox = Outbox(publisher, clock, f"history:{request.source}")
            return await Collector(request, source, PricesServiceStub(prices), outbox, settings.partitions).collect(context)
        finally:
            await publisher.close()


@asynccontextmanager
async def _source(request: pb.CollectHistoryRequest, settings: PricesJobsSettings, clock: Clock) -> AsyncIterator[HistorySource]:
    """Raises InvalidArgument, DataMissing."""
    sessions = await asyncio.to_thread(SessionTable.load, default_path())
    match request.source:
        case "stocks":
            yield await asyncio.to_thread(RecordedStocks, sessions)
        case "file":
            if not request.path:
                raise InvalidArgument("path", "", "the file, for the source `file`")
            yield await asyncio.to_thread(BarFile, Path(request.path), list(request.symbols), sessions)
        case "yahoo":
            timeout = aiohttp.ClientTimeout(total=settings.source_timeout_s)
            async with aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "Signalbox"}) as session:
                yield YahooCharts(session, settings.yahoo_url, sessions, clock, settings.source_pause_s)
        case _:
            raise InvalidArgument("source", request.source, f"one of {', '.join(SOURCES)}")


class Collector:
    """One collection. prices: asked for what the log holds already; it reads the same topic that is written here."""

    def __init__(self, request: pb.CollectHistoryRequest, source: HistorySource, prices: Any, outbox: Outbox, partitions: int) -> None:
        self._request, self._source, self._prices, self._outbox, self._partitions = request, source, prices, outbox, partitions
        self._interval = request.interval or market_pb2.INTERVAL_1D
        self._interval_s = _SECONDS[self._interval]
        self._start_ns = nanoseconds(request.start) if request.HasField("start") else 0
        self._end_ns = nanoseconds(request.end) if request.HasField("end") else MAX_TIME_NS
        if self._start_ns >= self._end_ns:
            raise InvalidArgument("end", self._end_ns, "a time after start")

    async def collect(self, context: JobContext) -> pb.CollectHistoryResult:
        """One symbol after the other; one that fails stops no other."""
        symbols = self._symbols()
        result = pb.CollectHistoryResult()
        context.progress(0, len(symbols), "symbols")
        for done, symbol in enumerate(symbols, start=1):
            if context.cancelled:
                raise CollectCancelled(f"cancelled after {done - 1} of {len(symbols)} symbols; what was collected stays")
            try:
                await self._collect(symbol, result)
                result.symbols += 1
            except SourceFailed as error:
                result.failures.add(symbol=symbol, reason=str(error))
            context.progress(done, len(symbols), "symbols", symbol)
        return result

    def _symbols(self) -> list[str]:
        symbols = sorted(set(self._request.symbols) or set(self._source.symbols()))
        if not 1 <= len(symbols) <= _MAX_SYMBOLS:
            raise InvalidArgument("symbols", f"{len(symbols)} symbols", f"1 to {_MAX_SYMBOLS:,}; the source {self._request.source} names none by itself")
        return symbols

    async def _collect(self, symbol: str, result: pb.CollectHistoryResult) -> None:
        stored = await self._stored(symbol, prices_pb.StreamBarsRequest(symbol=symbol, interval=self._interval, last=1))
        newest_ns = int(stored[-1]) if len(stored) else -1
        table = await self._source.bars(symbol, self._interval_s, self._start_ns, self._end_ns, newest_ns)
        result.bars_read += len(table)
        if len(table) == 0:
            return
        first, last = int(table.rows[0, 0]), int(table.rows[-1, 0])
        there = prices_pb.StreamBarsRequest(symbol=symbol, interval=self._interval, start=timestamp(first), end=timestamp(last + 1))
        fresh = table.missing_from(await self._stored(symbol, there))
        await self._publish(fresh)
        result.bars_published += len(fresh)

    async def _stored(self, symbol: str, request: prices_pb.StreamBarsRequest) -> Ints:
        """Open times of the bars that the log holds, oldest first. Raises Unavailable, SourceFailed (a malformed symbol)."""
        opens: list[int] = []
        try:
            async for part in self._prices.StreamBars(request, timeout=60.0):
                opens += [nanoseconds(bar.ts_open) for bar in part.bars]
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise SourceFailed(error.details() or "the symbol is malformed") from error
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise Unavailable("prices", f"{error.code().name}: {error.details()}") from error
        return np.array(opens, np.int64)

    async def _publish(self, table: BarTable) -> None:
        """Returns once the broker has all of it: a job that ended has left nothing behind."""
        symbol = table.instrument.symbol
        partition = partition_of(symbol, self._partitions)
        for start in range(0, len(table), _MAX_ROWS):
            columns = table.columns(start, min(start + _MAX_ROWS, len(table)))
            identity = f"{self._outbox.source}/{symbol}/{self._interval_s}/{columns.ts_open[0]}-{columns.ts_open[-1]}"
            headers = record_headers("BarBatch", identity, feed=self._outbox.source)
            await self._outbox.send(BARS.name, partition, encode_bars(columns), headers, len(columns))
        await self._outbox.flush()
