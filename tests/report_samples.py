"""Inputs of daily reports to test and draw with: a seeded market of any size, and the recorded stocks of bokeh_sampledata.

Indicators and signals come from the analysis engine itself. `python -m tests.report_samples FOLDER` writes the recorded inputs as files.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from services.analysis.engine import Bars, Engine
from services.analysis.indicators.registry import COLUMN
from services.analysis.signals import RULES
from services.prices.feeds import stocks_file
from services.reports.daily.compute import compute
from services.reports.daily.model import CHART_SESSIONS, AlertRow, DailyReportModel, FloatArray, IntArray, NewsItem, ProcessRow, SourceRow
from services.reports.daily.recorded import (
    INDICATORS,
    SIGNAL_TYPES,
    BarsRecord,
    InputHead,
    MetricSample,
    ReportInput,
    SignalsRecord,
    SymbolRecord,
    SystemRecord,
    input_sha256,
    no_bars,
    no_signals,
    write_input,
)

_NS = 10**9
_DAY_NS = 86_400 * _NS
#: 14:30 to 21:00 UTC, as New York in winter.
_OPEN_NS, _CLOSE_NS = 52_200 * _NS, 75_600 * _NS
#: In the order of the rules, which is the engine's number of a signal.
_TYPE_OF_RULE = [SIGNAL_TYPES.index(rule.type) for rule in RULES]


def symbol_record(symbol: str, bars: BarsRecord) -> SymbolRecord:
    """A symbol as the services would give it: the engine's values and signals on these bars."""
    engine = Engine()
    series = np.full(len(bars), engine.series(symbol, 86_400), np.int64)
    step = engine.feed(Bars(series, bars.ts_open, bars.open, bars.high, bars.low, bars.close, bars.volume))
    values = step.values[-CHART_SESSIONS - 1 :]
    signals = step.signals()
    return SymbolRecord(
        symbol=symbol,
        bars=bars,
        indicators={name: np.ascontiguousarray(values[:, COLUMN[name]]) for name in INDICATORS},
        signals=SignalsRecord(
            row=np.array([item.row for item in signals], np.int64),
            type=np.array([_TYPE_OF_RULE[RULES.index(item.rule)] for item in signals], np.int64),
            strength=np.array([item.strength for item in signals], np.float64),
        ),
    )


def sessions_until(day: date, count: int) -> IntArray:
    """The last `count` weekdays up to a day, as days since 1970."""
    epoch = date(1970, 1, 1)
    found: list[int] = []
    while len(found) < count:
        if day.weekday() < 5:
            found.append((day - epoch).days)
        day -= timedelta(days=1)
    return np.array(found[::-1], np.int64)


def walk(days: IntArray, generator: np.random.Generator, market: FloatArray, source_kind: int = 3) -> BarsRecord:
    """A random walk that goes with the market; prices in cents. market: its daily log returns, shape as days."""
    count, volatility = len(days), float(generator.uniform(0.008, 0.035))
    returns = generator.uniform(0.3, 1.6) * market + generator.normal(generator.normal(0.0002, 0.0004), volatility, count)
    close = np.round(float(generator.uniform(8, 400)) * np.exp(np.cumsum(returns)), 2) + 0.01
    opened = np.round(np.concatenate([close[:1], close[:-1]]) * np.exp(generator.normal(0, volatility / 3, count)), 2) + 0.01
    reach = np.abs(generator.normal(0, volatility / 2, (2, count)))
    high = np.round(np.maximum(opened, close) * (1 + reach[0]), 2)
    low = np.maximum(0.01, np.round(np.minimum(opened, close) * (1 - reach[1]), 2))
    volume = np.round(float(generator.lognormal(13, 1.2)) * np.exp(generator.normal(0, 0.35, count)) * (1 + 8 * np.abs(returns)))
    zeros = np.zeros(count, np.int64)
    return BarsRecord(
        days * _DAY_NS + _OPEN_NS,
        days * _DAY_NS + _CLOSE_NS,
        opened,
        np.maximum(high, close),
        np.minimum(low, opened),
        close,
        volume,
        zeros + source_kind,
        zeros,
    )


def sample_input(symbols: int = 500, sessions: int = 262, *, seed: int = 1, day: str = "2026-03-02", troubled: bool = True) -> ReportInput:
    """A seeded market. troubled: some symbols are late, missing or failed; one was split."""
    generator = np.random.default_rng(seed)
    days = sessions_until(date.fromisoformat(day), sessions)
    market = generator.normal(0.0004, 0.009, sessions)
    records = [symbol_record(name, walk(days, generator, market)) for name in _names(symbols, generator)]
    if troubled:
        _trouble(records, day)
    records.sort(key=lambda item: item.symbol)
    names = [item.symbol for item in records]
    recorded_ns = (int(days[-1]) + 1) * _DAY_NS + 8 * 3600 * _NS
    return ReportInput(_head(day, recorded_ns, names), tuple(records))


def small_input() -> ReportInput:
    """Twelve symbols over three years, with troubles."""
    return sample_input(12, 780, seed=7)


def _names(count: int, generator: np.random.Generator) -> list[str]:
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(generator.choice(letters, int(generator.integers(2, 5)))) + str(generator.choice([".XNAS", ".XNYS"]))] = None
    return list(found)


def _trouble(records: list[SymbolRecord], day: str) -> None:
    """Of the last ones: one late, two missing, one failed, one split two for one 100 sessions ago."""
    late = records[-1]
    records[-1] = symbol_record(late.symbol, late.bars.until(len(late.bars) - 3))
    records[-2] = SymbolRecord(records[-2].symbol, no_bars(), {}, no_signals(), why_missing=f"no daily bars; last trade {day} 20:59:58Z")
    records[-3] = SymbolRecord(records[-3].symbol, no_bars(), {}, no_signals(), why_missing="not known to prices")
    records[-4] = SymbolRecord(records[-4].symbol, no_bars(), {}, no_signals(), error="analysis: UNAVAILABLE: no answer within 20 s")
    split = records[-5]
    records[-5] = symbol_record(split.symbol, _split(split.bars, len(split.bars) - 100))


def _split(bars: BarsRecord, at: int) -> BarsRecord:
    factor = np.where(np.arange(len(bars)) < at, 2.0, 1.0)
    opened = bars.open.copy()
    # Opens where it closed, so that the gap is the split's alone.
    opened[at] = bars.close[at - 1]
    return replace(
        bars,
        open=opened * factor,
        high=np.maximum(bars.high, opened) * factor,
        low=np.minimum(bars.low, opened) * factor,
        close=bars.close * factor,
        volume=bars.volume / factor,
    )


def real_input(day: str = "2013-03-01", extra: Sequence[str] = ("ES.XCME",)) -> ReportInput:
    """The recorded stocks of bokeh_sampledata up to a day. extra: symbols that have no daily bars."""
    frame = pd.read_csv(stocks_file.locate(), parse_dates=["Date"])
    frame = frame[frame["Date"] <= day]
    records = [symbol_record(stocks_file.SYMBOLS[str(name)], _real_bars(rows)) for name, rows in frame.groupby("Ticker")]
    records += [SymbolRecord(name, no_bars(), {}, no_signals(), why_missing="no daily bars; last trade 2013-09-17 18:51:44Z") for name in extra]
    records.sort(key=lambda item: item.symbol)
    recorded_ns = (date.fromisoformat(day) - date(1970, 1, 1)).days * _DAY_NS + 32 * 3600 * _NS
    return ReportInput(_head(day, recorded_ns, [item.symbol for item in records], news=0), tuple(records))


def _real_bars(rows: pd.DataFrame) -> BarsRecord:
    days = rows["Date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    opened, high, low, close, volume = (rows[name].to_numpy(np.float64) for name in ("Open", "High", "Low", "Close", "Volume"))
    zeros = np.zeros(len(rows), np.int64)
    return BarsRecord(days * _DAY_NS + _OPEN_NS, days * _DAY_NS + _CLOSE_NS, opened, high, low, close, volume, zeros + 2, zeros)


def _head(day: str, recorded_ns: int, names: Sequence[str], news: int = 40) -> InputHead:
    return InputHead(
        date=day,
        date_was_asked=True,
        time_zone="America/New_York",
        recorded_ns=recorded_ns,
        sources=(
            SourceRow("prices", True, f"{len(names)} symbols"),
            SourceRow("analysis", True, "indicators and signals by engine 1"),
            SourceRow("news", bool(news), f"{news} articles" if news else "UNAVAILABLE: connection refused"),
            SourceRow("alerts", True, "2 alerts"),
            SourceRow("system", True, "7 processes"),
            SourceRow("metrics", True, "6 of 6 processes"),
        ),
        articles=tuple(_article(at, recorded_ns, names) for at in range(news)),
        alerts=_alerts(recorded_ns),
        system=_system(recorded_ns),
    )


_HEADLINES = (
    "Federal Reserve Board announces approval of application",
    "{} reports results for the quarter; revenue up on services",
    "{} files annual report on Form 10-K",
    "{} to buy back shares, raises dividend",
    "Regulator opens inquiry into {}; company says it cooperates fully with all requests and expects no effect on its guidance for the year",
)


def _article(at: int, recorded_ns: int, names: Sequence[str]) -> NewsItem:
    symbol = names[at * 7 % len(names)]
    text = _HEADLINES[at % len(_HEADLINES)].format(symbol.partition(".")[0])
    when = recorded_ns - at * 3_300 * _NS
    score = (0.0, 0.62, 0.05, 0.48, -0.71)[at % 5]
    label = "positive" if score > 0.3 else "negative" if score < -0.3 else "neutral"
    return NewsItem(
        id=f"article-{at:03}",
        title=text,
        publisher=("Federal Reserve", "Wire & Co", "SEC")[at % 3],
        url=f"https://news.invalid/{at}",
        published_ns=0 if at == 3 else when,
        received_ns=when + _NS,
        symbols=(symbol,) if at % 5 else (),
        sentiment=score,
        sentiment_label=label,
        is_recorded=at % 4 == 0,
    )


def _alerts(recorded_ns: int) -> tuple[AlertRow, ...]:
    failing, kept = recorded_ns - 3 * 3600 * _NS, recorded_ns - 13 * 3600 * _NS
    hint = "connection refused; see `signalbox schedule list`"
    return (
        AlertRow("schedule/news.crawl/failing", "critical", "news.crawl failed three times", hint, "scheduler", failing, is_resolved=False),
        AlertRow("memory/reports-worker", "warning", "reports-worker kept 310 MiB", "caches were emptied", "scheduler", kept, is_resolved=True),
    )


def _system(recorded_ns: int) -> SystemRecord:
    names = ("gateway", "prices", "prices-worker", "analysis", "analysis-worker", "feeds", "reports")
    rows = tuple(_process(at, name) for at, name in enumerate(names))
    return SystemRecord("0.1.0", recorded_ns, 1234.5, 410.0, 3, 17, 0, rows, _metrics())


def _process(at: int, name: str) -> ProcessRow:
    health, detail = ("not ready", "replay ended") if name == "feeds" else ("ready", "")
    return ProcessRow(name, health, detail, (90 + 23 * at) << 20, 41.5 * (at + 1), 86_000.0, 1.2 + at)


def _metrics() -> tuple[MetricSample, ...]:
    found = []
    for bound, count in (("0.001", 120.0), ("0.005", 9_000.0), ("0.01", 11_500.0), ("0.05", 11_990.0), ("0.1", 12_000.0), ("+Inf", 12_000.0)):
        found.append(MetricSample("gateway", "signalbox_hub_delivery_seconds_bucket", (("le", bound),), count))
        labels = (("le", bound), ("method", "/signalbox.prices.v1.PricesService/ListBars"))
        found.append(MetricSample("prices", "signalbox_grpc_server_handling_seconds_bucket", labels, count / 10))
    found.append(MetricSample("prices-worker", "signalbox_bars_ticks_total", (), 5_012_345.0))
    found.append(MetricSample("prices-worker", "signalbox_bars_late_total", (("reason", "late"),), 12.0))
    found.append(MetricSample("analysis-worker", "signalbox_analysis_signals_total", (("type", "golden_cross"),), 812.0))
    found.append(MetricSample("prices", "signalbox_dead_letters_total", (("topic", "market.ticks.v1"),), 2.0))
    return tuple(found)


def model_of(record: ReportInput) -> DailyReportModel:
    """The report of an input."""
    return compute(record, input_sha256(write_input(record)))


def main(folder: Path) -> None:
    """Writes `small.zip`, `real.zip` and `large.zip`: recorded inputs, for `recorded.read_input`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, record in (("small", small_input()), ("real", real_input()), ("large", sample_input())):
        (folder / f"{name}.zip").write_bytes(write_input(record))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
