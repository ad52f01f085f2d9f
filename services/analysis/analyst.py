"""Answers queries: bars, then the cache, then the engine in a thread."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Executor
from dataclasses import astuple, replace
from time import perf_counter

from signalbox.analysis.v1 import analysis_service_pb2 as pb

from services.analysis import metrics, translate
from services.analysis.compute import analyse
from services.analysis.domain import History, Query
from services.analysis.engine import ENGINE_VERSION
from services.analysis.history import HistoryBook
from services.analysis.ports import ResultCache
from services.runtime.errors import SignalboxError

#: An answer or the reason why there is none.
Outcome = pb.Analysis | SignalboxError


class Analyst:
    """Analyses one query or many.

    pool: threads for the engine. ttl_s: how long an answer is cached, seconds; its key names its content, so this bounds memory, not age.
    parallel: queries of one batch that are under way at once.
    """

    def __init__(self, book: HistoryBook, cache: ResultCache, pool: Executor, *, ttl_s: float, parallel: int) -> None:
        self._book, self._cache, self._pool, self._ttl_s, self._parallel = book, cache, pool, ttl_s, parallel

    async def analyse(self, query: Query) -> pb.Analysis:
        """The analysis. Raises InvalidArgument, NotFound, Unavailable."""
        with metrics.LOAD_SECONDS.time():
            known = await self._book.load(query.symbol, query.interval_s)
        key = cache_key(query, known.digest)
        cached = await self._cache.get(key)
        if cached is not None:
            metrics.ANALYSES.labels("cache").inc()
            return pb.Analysis.FromString(cached)
        answer, data = await asyncio.get_running_loop().run_in_executor(self._pool, _compute, query, known.history)
        metrics.ANALYSES.labels("engine").inc()
        await self._cache.set(key, data, self._ttl_s)
        return answer

    async def batch(self, queries: Sequence[Query | SignalboxError]) -> AsyncGenerator[tuple[int, Outcome], None]:
        """The analyses in the order in which they are done, each with its query's position. An error in place of a query is its outcome."""
        # Given back when the answer was taken: a client that reads slowly holds back the computing, and answers do not pile up here.
        turns = asyncio.Semaphore(self._parallel)

        async def answer(position: int, query: Query | SignalboxError) -> tuple[int, Outcome]:
            await turns.acquire()
            return position, await self._outcome(query)

        tasks = [asyncio.create_task(answer(position, query)) for position, query in enumerate(queries)]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
                turns.release()
        finally:
            for task in tasks:
                task.cancel()

    async def _outcome(self, query: Query | SignalboxError) -> Outcome:
        if isinstance(query, SignalboxError):
            return query
        try:
            return await self.analyse(query)
        except SignalboxError as error:
            return error


def cache_key(query: Query, digest: str) -> str:
    """The key of an answer: the engine's version, the content it was computed from, and what was asked for."""
    asked = hashlib.blake2b(repr(astuple(replace(query, symbol=""))).encode(), digest_size=16).hexdigest()
    return f"{ENGINE_VERSION}:{query.symbol}:{query.interval_s}:{digest}:{asked}"


def _compute(query: Query, history: History) -> tuple[pb.Analysis, bytes]:
    begin = perf_counter()
    answer = translate.analysis_message(analyse(query, history))
    data = answer.SerializeToString(deterministic=True)
    metrics.COMPUTE_SECONDS.observe(perf_counter() - begin)
    return answer, data
