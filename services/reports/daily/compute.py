"""From the recorded input to the report: a pure function. The same input and version give the same report, to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from services.reports.daily.figures import SymbolSeries, average_before, chart, extremes, fraction, indicator_values, notes, series_of, session, source_of
from services.reports.daily.market import market
from services.reports.daily.model import (
    REPORT_VERSION,
    AlertRow,
    Coverage,
    CoverageRow,
    DailyReportModel,
    Meta,
    NewsItem,
    SignalOutcomes,
    SignalReport,
    SymbolReport,
    SymbolState,
)
from services.reports.daily.newsroom import about, news_of
from services.reports.daily.outcomes import PastReturns, outcomes, past_returns
from services.reports.daily.recorded import SIGNAL_TYPES, InputHead, ReportInput, SymbolRecord
from services.reports.daily.sessions import day_number, day_text
from services.reports.daily.system_page import system
from services.reports.daily.wording import SIGNAL_WORDS

#: Told how many symbols are done.
Told = Callable[[int], None]

_SEVERITIES = ("critical", "warning", "info")


def report_id(date: str, input_sha256: str, version: str = REPORT_VERSION) -> str:
    """Identity within the archive, `2013-03-01-4f1c2a9b`: a report of the same input by another version is another report."""
    return f"{date}-{hashlib.sha256(f'{input_sha256} {version}'.encode()).hexdigest()[:8]}"


def compute(record: ReportInput, input_sha256: str, told: Told = lambda _: None) -> DailyReportModel:
    """The report. input_sha256: identity of the input. told: after each symbol, how many are done."""
    head, day = record.head, day_number(record.head.date)
    series = {item.symbol: series_of(item) for item in record.symbols if len(item.bars) and not item.error}
    coverage = _coverage(record, series, day)
    past = {name: _past(item) for name, item in series.items()}
    news = news_of(head)
    everyone = _AllOutcomes(tuple(past.values()))
    symbols = []
    for done, row in enumerate(coverage.rows, 1):
        if row.symbol in series:
            symbols.append(_symbol(series[row.symbol], row, past[row.symbol], everyone, about(row.symbol, news.of_day)))
        told(done)
    signals = tuple(sorted((item for each in symbols for item in each.signals), key=lambda item: (-item.strength, item.symbol, item.type)))
    arrived = [item for item in symbols if item.state is SymbolState.ARRIVED]
    return DailyReportModel(
        meta=_meta(head, input_sha256),
        coverage=coverage,
        market=market(tuple(series.values()), arrived, signals),
        symbols=tuple(symbols),
        signals=signals,
        news=news,
        alerts=_alerts(head.alerts, day),
        system=system(head.system),
    )


def _meta(head: InputHead, sha256: str) -> Meta:
    return Meta(
        id=report_id(head.date, sha256),
        date=head.date,
        date_was_asked=head.date_was_asked,
        time_zone=head.time_zone,
        recorded_ns=head.recorded_ns,
        version=REPORT_VERSION,
        input_sha256=sha256,
    )


def _coverage(record: ReportInput, series: dict[str, SymbolSeries], day: int) -> Coverage:
    venues = {item.record.symbol.rpartition(".")[2] for item in series.values() if item.last_day == day}
    rows = tuple(_coverage_row(item, series.get(item.symbol), day, venues) for item in record.symbols)
    counts = {state: sum(row.state is state for row in rows) for state in SymbolState}
    return Coverage(
        expected=len(rows),
        arrived=counts[SymbolState.ARRIVED],
        late=counts[SymbolState.LATE],
        missing=counts[SymbolState.MISSING],
        failed=counts[SymbolState.FAILED],
        rows=rows,
        sources=record.head.sources,
    )


def _coverage_row(item: SymbolRecord, series: SymbolSeries | None, day: int, venues: set[str]) -> CoverageRow:
    if item.error:
        return CoverageRow(item.symbol, SymbolState.FAILED, item.error, "", len(item.bars))
    if series is None:
        return CoverageRow(item.symbol, SymbolState.MISSING, item.why_missing, "", 0)
    last, bars = day_text(series.last_day), len(series.bars)
    if series.last_day == day:
        return CoverageRow(item.symbol, SymbolState.ARRIVED, "", last, bars)
    venue = item.symbol.rpartition(".")[2]
    why = "" if venue in venues else f"; no symbol of {venue} has one of the day"
    return CoverageRow(item.symbol, SymbolState.LATE, f"last daily bar is of {last}{why}", last, bars)


def _past(series: SymbolSeries) -> PastReturns:
    signals = series.record.signals
    return past_returns(series.bars.close, signals.row, signals.type, [at for at, _ in series.splits])


class _AllOutcomes:
    """What signals of each type did over all symbols; each worked out once."""

    def __init__(self, past: Sequence[PastReturns]) -> None:
        self._past, self._known = past, dict[int, SignalOutcomes]()

    def of(self, kind: int) -> SignalOutcomes:
        if kind not in self._known:
            self._known[kind] = outcomes(self._past, kind, SIGNAL_WORDS[SIGNAL_TYPES[kind]].direction, "all symbols")
        return self._known[kind]


def _symbol(series: SymbolSeries, row: CoverageRow, past: PastReturns, everyone: _AllOutcomes, news: tuple[NewsItem, ...]) -> SymbolReport:
    last, previous = session(series, -1), session(series, -2) if len(series.bars) > 1 else None
    is_of_day = row.state is SymbolState.ARRIVED
    average = float(average_before(series.bars.volume[-21:])[-1])
    values = indicator_values(series.record)
    atr = values["atr_14"]
    return SymbolReport(
        symbol=row.symbol,
        state=row.state,
        source=source_of(series),
        bars=row.bars,
        first_date=day_text(int(series.days[0])),
        last=last,
        previous=previous,
        change=fraction(last.close, previous.close) if previous else None,
        change_absolute=last.close - previous.close if previous else None,
        gap=fraction(last.open, previous.close) if previous else None,
        extremes=extremes(series),
        # NaN fails the comparison: fewer than 20 sessions before.
        volume_average_20=average if average >= 0 else None,
        volume_ratio=last.volume / average if average > 0 else None,
        indicators=values,
        atr_fraction=atr / last.close if atr is not None and last.close else None,
        splits=tuple(split for _, split in series.splits),
        notes=notes(series, f"Late: {row.reason}." if row.reason else ""),
        signals=_signals(series, past, everyone) if is_of_day else (),
        news=news,
        chart=chart(series, is_of_day=is_of_day),
    )


def _signals(series: SymbolSeries, past: PastReturns, everyone: _AllOutcomes) -> tuple[SignalReport, ...]:
    """Those of the last bar."""
    signals, last = series.record.signals, len(series.bars) - 1
    found = []
    for at in series.has_signal_at(last).tolist():
        kind = int(signals.type[at])
        words = SIGNAL_WORDS[SIGNAL_TYPES[kind]]
        found.append(
            SignalReport(
                symbol=series.record.symbol,
                type=SIGNAL_TYPES[kind],
                title=words.title,
                meaning=words.meaning,
                direction=words.direction,
                ts_close=int(series.bars.ts_close[last]),
                price=float(series.bars.close[last]),
                strength=float(signals.strength[at]),
                own=outcomes((past,), kind, words.direction, "same symbol"),
                all=everyone.of(kind),
            )
        )
    return tuple(found)


def _alerts(alerts: Sequence[AlertRow], day: int) -> tuple[AlertRow, ...]:
    """Open ones and those of the day."""
    shown = [item for item in alerts if not item.is_resolved or item.since_ns // (86_400 * 10**9) == day]
    return tuple(sorted(shown, key=lambda item: (item.is_resolved, _rank(item.severity), -item.since_ns, item.key)))


def _rank(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
