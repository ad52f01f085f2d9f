"""Queries to answers: cache keys, errors in a batch, slow clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace

import pytest
from signalbox.analysis.v1 import analysis_service_pb2 as pb

from services.analysis import translate
from services.analysis.analyst import Analyst, cache_key
from services.analysis.domain import History, Query
from services.analysis.history import HistoryBook
from services.runtime.errors import InvalidArgument, NotFound, SignalboxError
from services.runtime.testing.clock import ManualClock
from tests.unit.analysis.test_history import history

QUERY = translate.query_of(pb.AnalyzeRequest(symbol="A.XSIM", interval_name="1m", last=5))


class Source:
    def __init__(self) -> None:
        self.loads = 0

    async def bars(self, symbol: str, interval_s: int, start_ns: int | None) -> tuple[History, int]:
        self.loads += 1
        await asyncio.sleep(0)
        if symbol == "NONE.XSIM":
            raise NotFound("bars", symbol)
        return (history(50) if start_ns is None else history(1, 49)), 0


class MemoryCache:
    """A ResultCache; a dictionary."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        self.values[key] = value


@pytest.fixture
async def parts() -> AsyncIterator[tuple[Analyst, Source, MemoryCache]]:
    source, cache = Source(), MemoryCache()
    with ThreadPoolExecutor(2) as pool:
        yield Analyst(HistoryBook(source, ManualClock(), 10**6), cache, pool, ttl_s=1.0, parallel=3), source, cache


Parts = tuple[Analyst, Source, MemoryCache]


async def test_the_second_answer_is_the_first_one_from_the_cache(parts: Parts) -> None:
    analyst, _, cache = parts
    first = await analyst.analyse(QUERY)
    (key,) = cache.values
    cache.values[key] = pb.Analysis(symbol="FROM.CACHE").SerializeToString()
    assert (await analyst.analyse(QUERY)).symbol == "FROM.CACHE"
    assert first.symbol == "A.XSIM"


def test_a_cache_key_names_content_request_and_version() -> None:
    others = [
        replace(QUERY, symbol="B.XSIM"),
        replace(QUERY, interval_s=1),
        replace(QUERY, last=6),
        replace(QUERY, start_ns=1),
        replace(QUERY, end_ns=1),
        replace(QUERY, origin_ns=1),
        replace(QUERY, indicators=("sma_5",)),
    ]
    keys = {cache_key(QUERY, "d"), cache_key(QUERY, "e"), *(cache_key(other, "d") for other in others)}
    assert len(keys) == 9
    assert cache_key(replace(QUERY), "d") == cache_key(QUERY, "d")


async def test_a_batch_answers_each_position_once_with_errors_in_their_places(parts: Parts) -> None:
    analyst, _, _ = parts
    wrong = InvalidArgument("symbols", "x", "y")
    queries: list[Query | SignalboxError] = [QUERY, wrong, replace(QUERY, symbol="NONE.XSIM"), *[replace(QUERY, symbol=f"S{at}.XSIM") for at in range(20)]]
    outcomes = dict([outcome async for outcome in analyst.batch(queries)])
    assert sorted(outcomes) == list(range(23))
    assert outcomes[1] is wrong
    assert isinstance(outcomes[2], NotFound)
    assert all(isinstance(outcomes[at], pb.Analysis) for at in (0, *range(3, 23)))


async def test_a_slow_reader_holds_back_the_work(parts: Parts) -> None:
    analyst, source, _ = parts
    async with aclosing(analyst.batch([replace(QUERY, symbol=f"S{at}.XSIM") for at in range(50)])) as outcomes:
        await anext(outcomes)
        for _ in range(200):
            await asyncio.sleep(0.001)
        assert source.loads <= 4
        await anext(outcomes)
    before = source.loads
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert source.loads == before, "work went on after the reader was gone"


def test_pages_of_indicators() -> None:
    first = translate.indicators_page(pb.ListIndicatorsRequest(page_size=18))
    assert len(first.indicators) == 18
    last = translate.indicators_page(pb.ListIndicatorsRequest(page_size=18, page_token=first.next_page_token))
    assert (len(last.indicators), last.next_page_token) == (1, "")
    for token in ("x", "MS8w", "MS8xOQ==", "Mi8x", "é", "MS94"):
        with pytest.raises(InvalidArgument, match="page_token"):
            translate.indicators_page(pb.ListIndicatorsRequest(page_token=token))
    with pytest.raises(InvalidArgument, match="page_size"):
        translate.indicators_page(pb.ListIndicatorsRequest(page_size=1001))


@pytest.mark.parametrize("symbol", ["", "AAPL", "aapl.XNAS", "A.B.C", ".XNAS", "A" * 30 + ".XNAS", "A B.XNAS", "AAPL.XNAS\n"])
def test_malformed_symbols(symbol: str) -> None:
    with pytest.raises(InvalidArgument, match="symbol"):
        translate.query_of(pb.AnalyzeRequest(symbol=symbol))


def test_defaults_of_a_request() -> None:
    query = translate.query_of(pb.AnalyzeRequest(symbol="ES.XCME", indicators=["sma_5", "rsi_14", "sma_5"]))
    assert (query.interval_s, query.last, query.start_ns, query.end_ns, query.origin_ns) == (86400, 300, None, None, None)
    assert query.indicators == ("sma_5", "rsi_14")
