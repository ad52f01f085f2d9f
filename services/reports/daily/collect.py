"""Asks the services and makes one input of what they say. A symbol, or a service beside prices, that fails is recorded as such and stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from services.reports.daily.errors import NothingToReport
from services.reports.daily.model import CHART_SESSIONS, SourceRow
from services.reports.daily.newsroom import day_start_ns
from services.reports.daily.ports import AnalysisRecord, Failure, Sources
from services.reports.daily.recorded import (
    INDICATORS,
    SIGNAL_TYPES,
    BarsRecord,
    InputHead,
    ReportInput,
    SignalsRecord,
    SymbolRecord,
    SystemRecord,
    no_bars,
    no_signals,
)
from services.reports.daily.sessions import DAY_NS, day_number, day_text, session_days
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument, Unavailable

T = TypeVar("T")
#: Told how far collecting is, 0 to 1, and what it does.
Told = Callable[[float, str], None]

#: Bars of one symbol at most, as many as the analysis service answers for: 20 years.
_MOST_BARS = 5_000
#: Bars of all symbols together at most: what bounds the memory of a report of many symbols, at about 250 bytes each.
_ALL_BARS = 3_000_000
#: Collecting is so far when all bars are there.
_BARS_PART, _ANALYSIS_PART = 0.5, 0.45


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a report is asked to be about; checked."""

    date: str
    """YYYY-MM-DD; empty: the newest day for which most symbols have a daily bar."""
    universe: tuple[str, ...]
    """Empty: every symbol that prices knows."""
    time_zone: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Found:
    """What prices said of a symbol."""

    bars: BarsRecord
    error: str = ""


async def collect(wanted: Wanted, sources: Sources, clock: Clock, *, parallel: int, told: Told, expecting: Callable[[int], None]) -> ReportInput:
    """The input. parallel: symbols whose bars are asked for at once. expecting: told how many symbols there are.

    Raises Unavailable (prices does not answer at all), NothingToReport.
    """
    known = await sources.prices.symbols()
    expected = tuple(sorted(set(wanted.universe) or known))
    if not expected:
        raise NothingToReport("prices knows no symbol")
    expecting(len(expected))
    found = await _bars(wanted, expected, known, sources, parallel=parallel, told=told)
    day = day_number(wanted.date) if wanted.date else _newest_day(found)
    found = {symbol: replace(item, bars=_until(item.bars, day)) for symbol, item in found.items()}
    trades, trades_problem = await _tried(sources.prices.last_trades([symbol for symbol in expected if not len(found[symbol].bars)]), {})
    analyses, analysis_row = await _analyses(found, sources, day, told)
    records = tuple(_record(symbol, found[symbol], analyses.get(symbol), _why_missing(symbol, known, trades, day)) for symbol in expected)
    prices_row = SourceRow("prices", not trades_problem, trades_problem or f"{len(expected)} symbols expected, {_with_bars(found)} with daily bars")
    head = InputHead(date=day_text(day), date_was_asked=bool(wanted.date), time_zone=wanted.time_zone, recorded_ns=clock.now_ns())
    return ReportInput(await _with_the_rest(head, sources, (prices_row, analysis_row)), records)


def _with_bars(found: Mapping[str, _Found]) -> int:
    return sum(len(item.bars) > 0 for item in found.values())


async def _bars(wanted: Wanted, expected: Sequence[str], known: Mapping[str, bool], sources: Sources, *, parallel: int, told: Told) -> dict[str, _Found]:
    """Daily bars of each. Those that are behind the day that is taken are asked for once more: it may have ended while the others were read."""
    end_ns = (day_number(wanted.date) + 1) * DAY_NS if wanted.date else None
    daily = [symbol for symbol in expected if known.get(symbol)]
    found = {symbol: _Found(no_bars()) for symbol in expected}
    most = most_bars(len(daily))
    found |= await _bars_of(daily, end_ns, sources, most=most, parallel=parallel, told=told)
    if not wanted.date:
        day = _newest_day(found)
        behind = [symbol for symbol in daily if len(found[symbol].bars) and int(session_days(found[symbol].bars.ts_close[-1:])[0]) < day]
        found |= await _bars_of(behind, None, sources, most=most, parallel=parallel, told=lambda *_: None)
    return found


async def _bars_of(symbols: Sequence[str], end_ns: int | None, sources: Sources, *, most: int, parallel: int, told: Told) -> dict[str, _Found]:
    turns, found = asyncio.Semaphore(parallel), dict[str, _Found]()

    async def ask(symbol: str) -> None:
        async with turns:
            try:
                found[symbol] = _Found(await sources.prices.daily_bars(symbol, end_ns, most))
            except (InvalidArgument, Unavailable) as error:
                found[symbol] = _Found(no_bars(), f"prices: {error}")
        told(_BARS_PART * len(found) / len(symbols), f"reading bars of {symbol}")

    await asyncio.gather(*(ask(symbol) for symbol in symbols))
    return found


def most_bars(symbols: int) -> int:
    """Bars of each symbol at most, so that all of them together have room."""
    return min(_MOST_BARS, _ALL_BARS // max(1, symbols))


def _newest_day(found: Mapping[str, _Found]) -> int:
    """The newest day which at least half of the symbols with daily bars have reached. Raises NothingToReport."""
    last = sorted((int(session_days(item.bars.ts_close[-1:])[0]) for item in found.values() if len(item.bars)), reverse=True)
    if not last:
        raise NothingToReport("no symbol has a daily bar; name a date to see why")
    return last[(len(last) - 1) // 2]


def _until(bars: BarsRecord, day: int) -> BarsRecord:
    return bars.until(int(np.searchsorted(session_days(bars.ts_close), day, side="right")))


async def _analyses(found: Mapping[str, _Found], sources: Sources, day: int, told: Told) -> tuple[dict[str, AnalysisRecord | Failure], SourceRow]:
    symbols = [symbol for symbol, item in found.items() if len(item.bars)]
    answers: dict[str, AnalysisRecord | Failure] = {}
    problem = ""
    try:
        async for symbol, answer in sources.analyses.analyses(symbols, (day + 1) * DAY_NS, most_bars(len(symbols))):
            answers[symbol] = answer
            told(_BARS_PART + _ANALYSIS_PART * len(answers) / len(symbols), f"analysing {symbol}")
    except Unavailable as error:
        problem = str(error)
        for symbol in symbols:
            answers.setdefault(symbol, Failure("UNAVAILABLE", problem))
    versions = sorted({item.engine_version for item in answers.values() if isinstance(item, AnalysisRecord)})
    good = sum(isinstance(item, AnalysisRecord) for item in answers.values())
    return answers, SourceRow("analysis", not problem, problem or f"{good} of {len(symbols)} symbols by engine {', '.join(versions) or '-'}")


def _why_missing(symbol: str, known: Mapping[str, bool], trades: Mapping[str, int], day: int) -> str:
    if symbol not in known:
        return "not known to prices"
    last = f"; last trade {np.datetime64(trades[symbol], 'ns').astype('datetime64[s]')}Z" if symbol in trades else "; no trade known"
    return (f"no daily bar up to {day_text(day)}" if known[symbol] else "no daily bars") + last.replace("T", " ")


def _record(symbol: str, found: _Found, answer: AnalysisRecord | Failure | None, why_missing: str) -> SymbolRecord:
    bars = found.bars
    if found.error or not len(bars):
        return SymbolRecord(symbol, bars, {}, no_signals(), why_missing="" if found.error else why_missing, error=found.error)
    if not isinstance(answer, AnalysisRecord):
        why = f"{answer.code}: {answer.message}" if answer else "no answer"
        return SymbolRecord(symbol, bars, {}, no_signals(), error=f"analysis: {why}")
    return _aligned(symbol, bars, answer)


def _aligned(symbol: str, bars: BarsRecord, answer: AnalysisRecord) -> SymbolRecord:
    """Values and signals by the bars they belong to. Analysis may know a bar more or less than prices did a moment before."""
    stop = int(np.searchsorted(answer.ts_open, bars.ts_open[-1], side="right"))
    count = min(stop, len(bars), CHART_SESSIONS + 1)
    if not stop or not np.array_equal(answer.ts_open[stop - count : stop], bars.ts_open[-count:]):
        return SymbolRecord(symbol, bars, {}, no_signals(), error="analysis: its bars are not those of prices; try again")
    rows = np.searchsorted(bars.ts_open, answer.signal_opens)
    known = (rows < len(bars)) & (bars.ts_open[np.minimum(rows, len(bars) - 1)] == answer.signal_opens)
    known &= np.array([name in SIGNAL_TYPES for name in answer.signal_types], bool)
    types = np.array([SIGNAL_TYPES.index(name) if name in SIGNAL_TYPES else -1 for name in answer.signal_types], np.int64)
    return SymbolRecord(
        symbol=symbol,
        bars=bars,
        indicators={name: answer.indicators[name][stop - count : stop] for name in INDICATORS},
        signals=SignalsRecord(rows[known].astype(np.int64), types[known], answer.signal_strengths[known]),
    )


async def _with_the_rest(head: InputHead, sources: Sources, rows: tuple[SourceRow, ...]) -> InputHead:
    """What is not about one symbol. Each of these may be away."""
    start_ns = day_start_ns(head.date, head.time_zone)
    articles, news_problem = await _tried(sources.newsroom.articles(start_ns, head.recorded_ns), ())
    (alerts, unreadable), alerts_problem = await _tried(sources.alerts.alerts(), ((), 0))
    if unreadable:
        alerts_problem = f"records of alerts that could not be read: {unreadable}"
    system, system_problem = await _tried(sources.installation.status(), SystemRecord())
    samples, silent = await sources.installation.metrics()
    return replace(
        head,
        articles=tuple(articles),
        alerts=tuple(alerts),
        system=replace(system, metrics=tuple(samples)),
        sources=(
            *rows,
            SourceRow("news", not news_problem, news_problem or f"{len(articles)} articles since the day began"),
            SourceRow("alerts", not alerts_problem, alerts_problem or f"{len(alerts)} alerts"),
            SourceRow("system", not system_problem, system_problem or f"{len(system.processes)} processes"),
            SourceRow("metrics", not silent, "; ".join(f"{name}: {why}" for name, why in sorted(silent.items())) or f"{len(samples)} figures"),
        ),
    )


async def _tried(answer: Awaitable[T], otherwise: T) -> tuple[T, str]:
    """The answer, and why there is none."""
    try:
        return await answer, ""
    except Unavailable as error:
        return otherwise, str(error)
