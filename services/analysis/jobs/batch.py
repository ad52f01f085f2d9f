"""The kind `analysis.batch`: indicators and signals of many symbols over their whole history, as tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import grpc
from google.protobuf.message import Message
from signalbox.analysis.v1 import batch_job_pb2 as pb
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import prices_service_pb2 as prices_pb
from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceStub

from services.analysis.adapters.prices_grpc import PricesBars
from services.analysis.compute import analyse
from services.analysis.domain import Analysis, Query
from services.analysis.engine import warm_up
from services.analysis.indicators.registry import NAMES
from services.analysis.jobs.settings import AnalysisJobsSettings
from services.analysis.jobs.tables import SIGNALS, VALUES, BatchTables
from services.analysis.ports import BarSource
from services.runtime.errors import InvalidArgument, NotFound, SignalboxError, Unavailable
from services.runtime.grpc_client import channel
from services.runtime.job_kinds import ANALYSIS_BATCH
from services.runtime.jobs import JobContext, JobHandler
from services.runtime.settings import load_settings
from services.runtime.timestamps import nanoseconds

MAX_SYMBOLS = 10_000
_INTERVALS = {market_pb2.INTERVAL_1S: 1, market_pb2.INTERVAL_1M: 60, market_pb2.INTERVAL_1D: 86_400}
_NAMES = {1: "1s", 60: "1m", 86_400: "1d"}
#: Symbols whose bars are asked for while others are computed.
_AHEAD = 8
_ALL = 1 << 62


class BatchCancelled(SignalboxError):
    """Somebody asked for the end."""

    reason = "CANCELLED"


def analysis_batch_handler() -> JobHandler:
    """For the worker; its settings are read again in the process in which it runs."""
    return JobHandler(ANALYSIS_BATCH, run_analysis_batch, retry_on=(Unavailable,))


def run_analysis_batch(request: Message, context: JobContext) -> pb.AnalyzeManyResult:
    """The function of the kind. Raises InvalidArgument, NotFound (nothing to analyse), Unavailable (prices), BatchCancelled."""
    settings = load_settings(AnalysisJobsSettings)
    warm_up()
    return asyncio.run(_run(cast("pb.AnalyzeManyRequest", request), context, settings))


async def _run(request: pb.AnalyzeManyRequest, context: JobContext, settings: AnalysisJobsSettings) -> pb.AnalyzeManyResult:
    async with channel(settings.prices_address) as prices:
        symbols = await _symbols(request, PricesServiceStub(prices), settings.series_timeout_ms / 1e3)
        return await analyse_many(request, symbols, PricesBars(prices, settings.series_timeout_ms / 1e3), context, settings.home)


async def analyse_many(request: pb.AnalyzeManyRequest, symbols: Sequence[str], source: BarSource, context: JobContext, home: Path) -> pb.AnalyzeManyResult:
    """Computes and writes the tables; one symbol that has no bars stops no other."""
    interval_s = interval_of(request.interval)
    folder = Path("tables") / "analysis" / _NAMES[interval_s] / context.job.id
    result = pb.AnalyzeManyResult(table=str(folder / VALUES), signals_table=str(folder / SIGNALS))
    queries = [_query(request, symbol, interval_s) for symbol in symbols]
    context.progress(0, len(symbols), "symbols")
    with BatchTables(home / folder) as tables:
        async for query, outcome in _analyses(queries, source):
            if context.cancelled:
                raise BatchCancelled(f"cancelled after {result.symbols} of {len(symbols)} symbols")
            if isinstance(outcome, Analysis):
                tables.add(outcome)
                result.symbols += 1
            else:
                result.failures.add(symbol=query.symbol, reason=str(outcome))
            context.progress(result.symbols + len(result.failures), len(symbols), "symbols", query.symbol)
    result.rows, result.signals = tables.rows, tables.signals
    return result


async def _analyses(queries: Sequence[Query], source: BarSource) -> AsyncIterator[tuple[Query, Analysis | SignalboxError]]:
    """In the order of the queries, so that the same request writes the same tables."""
    waiting: list[asyncio.Task[Analysis | SignalboxError]] = []
    try:
        for number, query in enumerate(queries):
            while len(waiting) < _AHEAD and number + len(waiting) < len(queries):
                waiting.append(asyncio.create_task(_analysis(queries[number + len(waiting)], source)))
            yield query, await waiting.pop(0)
    finally:
        for task in waiting:
            task.cancel()


async def _analysis(query: Query, source: BarSource) -> Analysis | SignalboxError:
    try:
        history, _origin = await source.bars(query.symbol, query.interval_s, None)
        return await asyncio.to_thread(analyse, query, history)
    except (NotFound, InvalidArgument) as error:
        return error


async def _symbols(request: pb.AnalyzeManyRequest, prices: Any, timeout_s: float) -> list[str]:
    """Those asked for, each once and sorted, or all that have bars. Raises InvalidArgument, NotFound, Unavailable."""
    asked = sorted(set(request.symbols))
    if len(asked) > MAX_SYMBOLS:
        raise InvalidArgument("symbols", f"{len(asked)} symbols", f"at most {MAX_SYMBOLS:,}")
    found = asked or await _known(prices, request.interval or market_pb2.INTERVAL_1D, timeout_s)
    if not found:
        raise NotFound("bars", _NAMES[interval_of(request.interval)])
    return found


async def _known(prices: Any, interval: market_pb2.Interval, timeout_s: float) -> list[str]:
    symbols: list[str] = []
    token = ""
    while True:
        try:
            page = await prices.ListSeries(prices_pb.ListSeriesRequest(page_token=token), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise Unavailable("prices", f"{error.code().name}: {error.details()}") from error
        symbols += [series.symbol for series in page.series if series.interval == interval]
        if not (token := page.next_page_token):
            return sorted(symbols)


def interval_of(interval: market_pb2.Interval) -> int:
    """Seconds; a session when none is named. Raises InvalidArgument."""
    seconds = _INTERVALS.get(interval or market_pb2.INTERVAL_1D)
    if seconds is None:
        raise InvalidArgument("interval", market_pb2.Interval.Name(interval), "one of INTERVAL_1S, INTERVAL_1M, INTERVAL_1D")
    return seconds


def _query(request: pb.AnalyzeManyRequest, symbol: str, interval_s: int) -> Query:
    start = nanoseconds(request.start) if request.HasField("start") else None
    end = nanoseconds(request.end) if request.HasField("end") else None
    return Query(symbol, interval_s, start, end, _ALL, NAMES, None)
