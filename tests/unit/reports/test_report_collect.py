"""Collecting an input from services that fail in every way they can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from services.reports.daily.collect import Wanted, collect, most_bars
from services.reports.daily.errors import NothingToReport, ReportCancelled
from services.reports.daily.model import AlertRow, CoverageRow, NewsItem, SymbolState
from services.reports.daily.ports import AnalysisRecord, Failure, Sources
from services.reports.daily.recorded import SIGNAL_TYPES, BarsRecord, MetricSample, ReportInput, SymbolRecord, SystemRecord, no_bars
from services.reports.daily.sessions import day_text, session_days
from services.runtime.errors import Unavailable
from services.runtime.testing import ManualClock
from tests.report_samples import model_of, sample_input

DAY = "2026-03-02"
RECORDS = {item.symbol: item for item in sample_input(6, 260, seed=5, day="2026-03-05", troubled=False).symbols}
NAMES = sorted(RECORDS)
TRADE_NS = 1_379_443_904 * 10**9


@dataclass
class Services:
    """All sources at once. Symbols in `broken_prices` and `broken_analysis` fail; names in `away` do not answer at all."""

    away: set[str] = field(default_factory=set)
    broken_prices: set[str] = field(default_factory=set)
    broken_analysis: set[str] = field(default_factory=set)
    without_daily: tuple[str, ...] = ("ES.XCME",)
    missing_bars: Mapping[str, int] = field(default_factory=dict)
    """Sessions that are not there yet, at the first question only."""
    analysis_ahead: int = 0
    asked: list[str] = field(default_factory=list)
    unreadable: int = 0
    trades: Mapping[str, int] = field(default_factory=lambda: {"ES.XCME": TRADE_NS})

    def _check(self, name: str) -> None:
        if name in self.away:
            raise Unavailable(name, "connection refused")

    async def symbols(self) -> Mapping[str, bool]:
        self._check("prices")
        return {**dict.fromkeys(NAMES, True), **dict.fromkeys(self.without_daily, False)}

    async def daily_bars(self, symbol: str, end_ns: int | None, most: int) -> BarsRecord:
        assert most == 5_000
        if symbol in self.broken_prices:
            raise Unavailable("prices", "DEADLINE_EXCEEDED: too slow")
        bars = RECORDS[symbol].bars
        if symbol not in self.asked:
            bars = bars.until(len(bars) - self.missing_bars.get(symbol, 0))
        self.asked.append(symbol)
        return bars if end_ns is None else bars.until(int(np.searchsorted(bars.ts_open, end_ns)))

    async def last_trades(self, symbols: Sequence[str]) -> Mapping[str, int]:
        self._check("trades")
        return {symbol: self.trades[symbol] for symbol in symbols if symbol in self.trades}

    async def analyses(self, symbols: Sequence[str], end_ns: int, most: int) -> AsyncIterator[tuple[str, AnalysisRecord | Failure]]:
        self._check("analysis")
        for symbol in symbols:
            if symbol in self.broken_analysis:
                yield symbol, Failure("INTERNAL", "internal error")
            else:
                yield symbol, analysis_of(RECORDS[symbol], end_ns, self.analysis_ahead)
            self._check(f"analysis after {symbol}")

    async def articles(self, start_ns: int, as_of_ns: int) -> Sequence[NewsItem]:
        self._check("news")
        return [NewsItem("a", "Title", "Wire", "", start_ns + 1, start_ns + 2, (NAMES[0],), 0.1, "neutral", is_recorded=False)]

    async def alerts(self) -> tuple[Sequence[AlertRow], int]:
        self._check("alerts")
        return [], self.unreadable

    async def status(self) -> SystemRecord:
        self._check("gateway")
        return SystemRecord(version="1")

    async def metrics(self) -> tuple[Sequence[MetricSample], Mapping[str, str]]:
        return ([], {"feeds": "refused"}) if "metrics" in self.away else ([], {})


def analysis_of(record: SymbolRecord, end_ns: int, shift: int) -> AnalysisRecord:
    """As the analysis service would answer. shift: so many bars are not those of prices."""
    opens = record.bars.ts_open
    stop = int(np.searchsorted(opens, end_ns))
    count = min(len(record.indicators["sma_20"]), stop)
    known = record.signals.row < stop
    return AnalysisRecord(
        ts_open=opens[stop - count : stop] + shift,
        indicators={name: values[-count:] for name, values in record.indicators.items()},
        signal_opens=opens[record.signals.row[known]],
        signal_types=tuple(SIGNAL_TYPES[kind] for kind in record.signals.type[known].tolist()),
        signal_strengths=record.signals.strength[known],
        engine_version="1",
    )


async def collected(services: Services, date: str = DAY, universe: tuple[str, ...] = ()) -> ReportInput:
    sources = Sources(services, services, services, services, services)
    return await collect(Wanted(date, universe, "UTC"), sources, ManualClock(), parallel=3, told=lambda *_: None, expecting=lambda _: None)


def rows(record: ReportInput) -> dict[str, CoverageRow]:
    return {row.symbol: row for row in model_of(record).coverage.rows}


async def test_what_comes_is_cut_at_the_day() -> None:
    record = await collected(Services())
    for item in record.symbols:
        if item.symbol in RECORDS:
            assert day_text(int(session_days(item.bars.ts_close)[-1])) == DAY
            assert item.signals.row.max(initial=0) < len(item.bars)
            assert len(item.indicators["rsi_14"]) == 121
    assert [row.ok for row in record.head.sources] == [True] * 6


async def test_a_symbol_without_daily_bars_is_missing_with_its_last_trade() -> None:
    found = rows(await collected(Services()))["ES.XCME"]
    assert (found.state, found.reason) == (SymbolState.MISSING, "no daily bars; last trade 2013-09-17 18:51:44Z")
    found = rows(await collected(Services(trades={})))["ES.XCME"]
    assert found.reason == "no daily bars; no trade known"


async def test_a_symbol_that_prices_does_not_know_is_missing() -> None:
    found = rows(await collected(Services(), universe=(NAMES[0], "NONE.XNAS")))
    assert list(found) == sorted((NAMES[0], "NONE.XNAS"))
    assert found["NONE.XNAS"].reason == "not known to prices"


async def test_one_symbol_that_fails_is_told_and_stops_no_other() -> None:
    found = rows(await collected(Services(broken_prices={NAMES[0]}, broken_analysis={NAMES[1]})))
    assert found[NAMES[0]].state is found[NAMES[1]].state is SymbolState.FAILED
    assert found[NAMES[0]].reason == "prices: prices is not available: DEADLINE_EXCEEDED: too slow"
    assert found[NAMES[1]].reason == "analysis: INTERNAL: internal error"
    assert [found[name].state for name in NAMES[2:]] == [SymbolState.ARRIVED] * 4


@pytest.mark.parametrize("name", ["news", "alerts", "gateway", "metrics", "trades"])
async def test_a_service_that_is_away_is_a_source_that_is_not_ok(name: str) -> None:
    record = await collected(Services(away={name}))
    bad = [row for row in record.head.sources if not row.ok]
    assert [row.name for row in bad] == [{"gateway": "system", "trades": "prices"}.get(name, name)]
    assert bad[0].detail
    assert sum(row.state is SymbolState.ARRIVED for row in rows(record).values()) == 6


async def test_analysis_that_goes_away_in_the_middle_costs_the_symbols_that_are_left() -> None:
    record = await collected(Services(away={f"analysis after {NAMES[1]}"}))
    found = rows(record)
    assert [found[name].state for name in NAMES[:2]] == [SymbolState.ARRIVED] * 2
    assert {found[name].state for name in NAMES[2:]} == {SymbolState.FAILED}
    assert "analysis" in {row.name for row in record.head.sources if not row.ok}


async def test_values_of_other_bars_are_not_taken() -> None:
    found = rows(await collected(Services(analysis_ahead=1)))
    assert {found[name].reason for name in NAMES} == {"analysis: its bars are not those of prices; try again"}


async def test_without_prices_there_is_no_report() -> None:
    with pytest.raises(Unavailable):
        await collected(Services(away={"prices"}))


async def test_the_newest_day_is_the_one_that_half_have_reached() -> None:
    record = await collected(Services(missing_bars={NAMES[0]: 2}), date="")
    assert (record.head.date, record.head.date_was_asked) == ("2026-03-05", False)
    # It was behind while it was asked and has caught up.
    assert rows(record)[NAMES[0]].state is SymbolState.ARRIVED


async def test_nothing_at_all() -> None:
    services = Services(without_daily=())
    with pytest.raises(NothingToReport, match="no symbol has a daily bar"):
        await collected(replace(services, without_daily=("ES.XCME",)), date="", universe=("ES.XCME",))


async def test_a_day_before_all_bars_is_told_as_such() -> None:
    record = await collected(Services(), date="1990-01-02")
    assert {row.reason for name, row in rows(record).items() if name in RECORDS} == {"no daily bar up to 1990-01-02; no trade known"}
    assert all(len(item.bars) == len(no_bars()) for item in record.symbols)


async def test_alerts_that_cannot_be_read_are_told() -> None:
    record = await collected(Services(unreadable=3))
    assert [row.detail for row in record.head.sources if not row.ok] == ["records of alerts that could not be read: 3"]


@pytest.mark.parametrize("word", ["reading", "analysing"])
async def test_cancelling_ends_collecting_and_is_no_failure_of_a_symbol(word: str) -> None:
    def told(_: float, message: str) -> None:
        if message.startswith(word):
            raise ReportCancelled

    services = Services()
    sources = Sources(services, services, services, services, services)
    with pytest.raises(ReportCancelled):
        await collect(Wanted(DAY, (), "UTC"), sources, ManualClock(), parallel=3, told=told, expecting=lambda _: None)


def test_many_symbols_have_fewer_bars_each() -> None:
    assert [most_bars(count) for count in (0, 1, 600, 1_000, 2_000)] == [5_000, 5_000, 5_000, 3_000, 1_500]
