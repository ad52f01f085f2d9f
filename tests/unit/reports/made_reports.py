"""Reports made up for the pages' tests: every state, hostile texts, figures that are missing, as many symbols as wanted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from services.reports.daily import model
from services.reports.daily.model import Direction, FloatArray, SymbolState

DAY = "2026-11-20"
HOSTILE = "<script>alert('x')</script> & \"quotes\" ]]> </style> ${x} {{ 7 * 7 }} \u202eevil\u202c \x00\x07 日本 🙂"
MISSING_REASON = "no daily bar before the day; the feed has never named it <b>"
LATE_REASON = "last bar is of 2026-11-18, two sessions back"
FAILED_REASON = "analysis: INTERNAL: history of <GONE> could not be read"
_KINDS = (
    ("rsi_oversold", "RSI oversold", "RSI of 14 sessions fell through 30", Direction.DOWN),
    ("golden_cross", "Golden cross", "The average of 50 sessions rose through that of 200", Direction.UP),
    ("bollinger_break_upper", "Bollinger upper break", "Closed above the upper band", Direction.UP),
    ("macd_bearish_cross", "MACD cross down", "MACD fell through its signal line", Direction.DOWN),
)


def made_report(symbols: int = 12, *, seed: int = 7, source: str = "synthetic") -> model.DailyReportModel:
    """A report of so many symbols with figures, of which the second is late, and of one missing and one failed symbol beside them."""
    random = np.random.default_rng(seed)
    reports = tuple(_symbol(index, random, source) for index in range(symbols))
    signals = tuple(sorted((signal for report in reports for signal in report.signals), key=lambda item: -item.strength))
    return model.DailyReportModel(
        meta=model.Meta(f"{DAY}-4f1c2a9b", DAY, True, "America/New_York", _ns(DAY, 8) + 86_400 * 10**9, model.REPORT_VERSION, "4f1c2a9b" * 8),
        coverage=_coverage(reports),
        market=_market(reports, random),
        symbols=reports,
        signals=signals,
        news=model.News(tuple(item for report in reports for item in report.news)[:200], ()),
        alerts=(
            model.AlertRow("disk", "critical", "Disk of the log is 92 % full", f"retention is due {HOSTILE}", "prices", _ns(DAY, 14), False),
            model.AlertRow("lag", "warning", "Bars lag behind", "lag was 4,000 records for 3 minutes", "analysis-worker", _ns(DAY, 11), True),
        ),
        system=_system(),
    )


def empty_report() -> model.DailyReportModel:
    """Nothing arrived at all."""
    nothing = np.zeros(0)
    none = model.Share(0, 0)
    return model.DailyReportModel(
        meta=model.Meta(f"{DAY}-00000000", DAY, False, "UTC", _ns(DAY, 8), model.REPORT_VERSION, "0" * 64),
        coverage=model.Coverage(0, 0, 0, 0, 0, (), (model.SourceRow("prices", False, "UNAVAILABLE: connection refused"),)),
        market=model.Market(
            model.Breadth(0, 0, 0, none, none, none, none, none, none, none), None, None, (), (), (), (), (), None, none,
            model.Histogram(np.array([-0.1, 0.0, 0.1]), np.zeros(2, np.int64)),
            model.Histogram(np.array([0.0, 1.0, 2.0]), np.zeros(2, np.int64)),
            model.MarketHistory((), nothing.astype(np.int64), nothing.astype(np.int64), nothing, nothing, nothing), {},
        ),
        symbols=(), signals=(), news=model.News((), ()), alerts=(),
        system=model.System("", 0, None, None, None, None, None, (), (), (), ()),
    )  # fmt: skip


def _ns(day: str, hour: int, minute: int = 0) -> int:
    at = datetime.fromisoformat(day).replace(hour=hour, minute=minute, tzinfo=ZoneInfo("America/New_York"))
    return int(at.timestamp()) * 10**9


def _days(count: int) -> tuple[str, ...]:
    days: list[str] = []
    at = date.fromisoformat(DAY)
    while len(days) < count:
        if at.weekday() < 5:
            days.append(at.isoformat())
        at -= timedelta(days=1)
    return tuple(reversed(days))


def _name(index: int) -> str:
    return f"{('ACME', 'BOLT', 'CRUX', 'DYNE', 'ECHO', 'FLUX')[index % 6]}{index:03d}.XNAS"


def _symbol(index: int, random: np.random.Generator, source: str) -> model.SymbolReport:
    name, bars = _name(index), 260 if index != 2 else 9
    chart, extremes = _chart(bars, random, (0.031, 48.0, 310.0, 5200.0)[index % 4])
    state = SymbolState.LATE if index == 1 else SymbolState.ARRIVED
    signals = tuple(_signal(name, index + step, float(chart.close[-1])) for step in range((0, 1, 2, 4, 1)[index % 5]))
    last, before = (_session(chart, position) for position in (-1, -2))
    change = last.close / before.close - 1
    averages = {"sma_20": chart.sma_20, "sma_50": chart.sma_50, "sma_200": chart.sma_200, "rsi_14": chart.rsi_14}
    indicators = {key: float(values[-1]) if np.isfinite(values[-1]) else None for key, values in averages.items()}
    return model.SymbolReport(
        symbol=name, state=state, source=source, bars=bars, first_date=_days(bars)[0], last=last, previous=before, change=change,
        change_absolute=last.close - before.close, gap=last.open / before.close - 1, extremes=extremes, volume_average_20=last.volume / 1.7,
        volume_ratio=1.7 + index % 3, indicators=indicators | {"atr_14": last.close * 0.021}, atr_fraction=0.021,
        splits=(model.SuspectedSplit("2026-06-01", 2.0, "2:1"),) if index == 3 else (),
        notes=("Only 9 sessions are known: averages are still warming up.",) if index == 2 else (),
        signals=signals, news=_news(name, index), chart=_with_markers(chart, signals, random),
    )  # fmt: skip


def _average(values: FloatArray, period: int) -> FloatArray:
    out = np.full(values.shape, np.nan)
    if len(values) >= period:
        sums = np.cumsum(np.insert(values, 0, 0.0))
        out[period - 1 :] = (sums[period:] - sums[:-period]) / period
    return out


def _chart(bars: int, random: np.random.Generator, start: float) -> tuple[model.ChartSeries, model.Extremes]:
    close = start * np.exp(np.cumsum(random.normal(0.0004, 0.017, bars)))
    open_ = close * np.exp(random.normal(0, 0.008, bars))
    high, low = np.maximum(open_, close) * (1 + random.random(bars) * 0.012), np.minimum(open_, close) * (1 - random.random(bars) * 0.012)
    volume = np.round(random.lognormal(14, 0.45, bars))
    middle = _average(close, 20)
    deviation = np.sqrt(np.maximum(_average(close * close, 20) - middle * middle, 0.0))
    macd = _average(close, 12) - _average(close, 26)
    signal = np.concatenate([np.full(min(25, bars), np.nan), _average(macd[25:], 9)]) if bars > 25 else np.full(bars, np.nan)
    gains = np.insert(np.diff(close), 0, 0.0)
    rise, fall = _average(np.maximum(gains, 0), 14), _average(np.maximum(-gains, 0), 14)
    rsi = 100 * rise / np.maximum(rise + fall, 1e-12)
    days = _days(bars)
    opened = np.array([_ns(day, 9, 30) for day in days], dtype=np.int64)
    columns = (open_, high, low, close, volume, _average(volume, 20), middle, _average(close, 50), _average(close, 200))
    shown = [column[-model.CHART_SESSIONS :] for column in (*columns, middle + 2 * deviation, middle - 2 * deviation, rsi, macd, signal, macd - signal)]
    chart = model.ChartSeries(days[-model.CHART_SESSIONS :], opened[-model.CHART_SESSIONS :], *shown, ())  # type: ignore[arg-type, call-arg]
    top, bottom = int(np.argmax(high)), int(np.argmin(low))
    extremes = model.Extremes(
        model.Extreme(float(high[top]), days[top], float(close[-1] / high[top] - 1), top == bars - 1),
        model.Extreme(float(low[bottom]), days[bottom], float(close[-1] / low[bottom] - 1), bottom == bars - 1),
        bars > 250,
        model.Extreme(float(high[top]), days[top], float(close[-1] / high[top] - 1), top == bars - 1),
        days[0],
    )
    return chart, extremes


def _session(chart: model.ChartSeries, at: int) -> model.Session:
    columns = (chart.open, chart.high, chart.low, chart.close, chart.volume)
    opened = int(chart.ts_open[at])
    return model.Session(chart.dates[at], opened, opened + 6 * 3600 * 10**9, *(float(column[at]) for column in columns))


def _with_markers(chart: model.ChartSeries, signals: tuple[model.SignalReport, ...], random: np.random.Generator) -> model.ChartSeries:
    last = len(chart) - 1
    at = sorted({int(index) for index in random.integers(0, max(last, 1), 14)})
    markers = [model.Marker(index, *_KINDS[index % 4][:2], _KINDS[index % 4][3], False) for index in at]
    markers += [model.Marker(last, signal.type, signal.title, signal.direction, True) for signal in signals]
    return replace(chart, markers=tuple(markers))


def _signal(symbol: str, index: int, price: float) -> model.SignalReport:
    kind, title, meaning, direction = _KINDS[index % 4]
    own = model.SignalOutcomes("same symbol", 1, tuple(_outcome(horizon, 7) for horizon in model.HORIZONS))
    everyone = model.SignalOutcomes("all symbols", 9, tuple(_outcome(horizon, 7 if index % 4 == 3 else 412) for horizon in model.HORIZONS))
    return model.SignalReport(symbol, kind, title, meaning, direction, _ns(DAY, 16), price, 0.35 + 0.15 * (index % 4), own, everyone)


def _outcome(sessions: int, n: int) -> model.HorizonOutcome:
    if n < model.MIN_SAMPLE:
        return model.HorizonOutcome(sessions, n, False, f"too few (n={n}, needs {model.MIN_SAMPLE})")
    text = f"up in 56 % of {n} (95 %: 51 to 61 %)"
    return model.HorizonOutcome(sessions, n, True, text, 0.56, 0.51, 0.61, 0.53, 0.0021 * sessions, 0.0015 * sessions, (-0.08, -0.02, 0.0015, 0.03, 0.09))


def _news(symbol: str, index: int) -> tuple[model.NewsItem, ...]:
    if index % 3:
        return ()
    at = _ns(DAY, 7, 12)
    titles = (f"{symbol} raises its outlook for the year after orders beat expectations in every region it sells to", HOSTILE)
    url = ("https://news.test/a?b=1&c=2", "javascript:alert(1)")
    return tuple(
        model.NewsItem(f"{symbol}-{k}", titles[k], "Newswire", url[k], at * (1 - k), at + 60 * 10**9, (symbol,), (0.62, None)[k], ("positive", "")[k], k == 1)
        for k in range(2)
    )


def _coverage(reports: tuple[model.SymbolReport, ...]) -> model.Coverage:
    rows = [model.CoverageRow(item.symbol, item.state, LATE_REASON if item.state == SymbolState.LATE else "", item.last.date, item.bars) for item in reports]
    rows.append(model.CoverageRow("NONE<i>.XNYS", SymbolState.MISSING, MISSING_REASON, "", 0))
    rows.append(model.CoverageRow("ZERO.XNYS", SymbolState.FAILED, FAILED_REASON, "", 0))
    rows.sort(key=lambda row: row.symbol)
    late = sum(1 for item in reports if item.state == SymbolState.LATE)
    names = (("prices", True, f"{len(reports)} symbols, 130,000 bars"), ("analysis", True, "indicators, signals"), ("news", False, "DEADLINE_EXCEEDED"))
    return model.Coverage(len(rows), len(reports) - late, late, 1, 1, tuple(rows), tuple(model.SourceRow(*row) for row in names))


def _market(reports: tuple[model.SymbolReport, ...], random: np.random.Generator) -> model.Market:
    of_day = [item for item in reports if item.state == SymbolState.ARRIVED]
    movers = sorted((model.Mover(i.symbol, i.last.close, i.change or 0.0, i.last.volume, i.volume_ratio) for i in of_day), key=lambda item: item.change)
    up, down = tuple(m for m in movers[::-1] if m.change > 0), tuple(m for m in movers if m.change < 0)
    n = len(of_day)
    shares = [model.Share(n // part, n) for part in (4, 6, 2, 2, 3, 9, 11)]
    days, sessions = _days(60), 60
    rising = random.integers(0, n + 1, sessions)
    walk = np.clip(0.5 + np.cumsum(random.normal(0, 0.03, (2, sessions)), axis=1), 0, 1)
    counts, edges = np.histogram([m.change for m in movers], np.arange(-0.06, 0.0601, 0.005))
    ratio_counts, ratio_edges = np.histogram([m.volume_ratio or 0 for m in movers], np.arange(0, 4.01, 0.25))
    return model.Market(
        model.Breadth(len(up), len(down), n - len(up) - len(down), *shares),
        0.0012, 0.0009, up[:10], down[:10], tuple(sorted(movers, key=lambda m: -(m.volume_ratio or 0))[:10]),
        tuple(m.symbol for m in up[: n // 4]), tuple(m.symbol for m in down[: n // 6]), 1.12, model.Share(n // 2, n),
        model.Histogram(edges, counts.astype(np.int64)), model.Histogram(ratio_edges, ratio_counts.astype(np.int64)),
        model.MarketHistory(days, rising, n - rising, walk[0], walk[1], random.normal(0, 0.01, sessions)),
        {"golden_cross": 3, "macd_bearish_cross": 5, "rsi_oversold": 2},
    )  # fmt: skip


def _system() -> model.System:
    names = ("prices", "analysis", "gateway", "prices-worker", "analysis-worker", "feeds", "reports", "news")
    processes = tuple(
        model.ProcessRow(name, "down" if name == "news" else "ready", "connection refused" if name == "news" else "", 180_000_000, 412.5, 93_000.0, 3.4)
        for name in names
    )
    return model.System(
        "0.1.0", _ns(DAY, 8), 98_412.0, 12_050.0, 14, 0, 12, processes,
        (model.LatencyRow("Tick to client", 1_204_331, 8.2, 21.0, 44.0), model.LatencyRow("Bar to signal", 0, None, None, None)),
        (model.CounterRow("Records put aside", "prices-worker", 12.0), model.CounterRow("Refused calls", "gateway", 3.0)),
        (model.CounterRow("Ticks", "prices-worker", 8_412_003.0), model.CounterRow("Signals", "analysis-worker", 4_211.0)),
    )  # fmt: skip
