"""A symbol on paper: chart, figures, signals, news, kept on one sheet where they fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from services.reports.daily import model
from services.reports.daily.render import charts, formats, wording
from services.reports.daily.render.layout import Group, Piece
from services.reports.daily.render.paper import LEFT, MEDIUM, RIGHT, SMALL, STRONG, Box, Paper, Type, fit, wrap
from services.reports.daily.render.pdf_charts import draw_chart
from services.reports.daily.render.pdf_news import news_pieces

CHART = Box(LEFT, 0.0, 312.0, 196.0)
#: Left end of the figures beside the chart.
SIDE = 392.0
_NAME = Type(13, "text", MEDIUM)
_CLOSE = Type(12, "text", MEDIUM)
_LABEL = Type(7.5, "muted")
_VALUE = Type(7.8, "text")
_VALUE_STRONG = Type(7.8, "text", MEDIUM)
_SCOPE = Type(7.5, "soft")
_AFTER = Type(7.5, "text", MEDIUM)
_THIRD = (RIGHT - LEFT) / 3


@dataclass(frozen=True, slots=True)
class Silence:
    """Which services gave nothing, so that "none" is not said of what nobody knows."""

    analysis: bool
    news: bool


def anchor_of(symbol: str) -> str:
    """Where links to a symbol lead."""
    return f"symbol {symbol}"


def symbol_group(report: model.SymbolReport, clock: formats.Clock, day: str, silence: Silence) -> Group:
    """All of a symbol."""
    head = Piece(26, partial(_head, report=report), anchor_of(report.symbol), formats.ticker(report.symbol), 1)
    notes = list(_notes(report))
    body = Piece(CHART.height + 18, partial(_body, report=report))
    signals = [_signal(signal, clock, day) for signal in report.signals]
    news = list(news_pieces(report.news, clock, day, with_symbols=False))
    pieces = [
        head,
        *notes,
        body,
        *(signals or [_line("Signals are unknown: see coverage." if silence.analysis else "No signal on the day.")]),
        *(news or [_line("News is unknown: see coverage." if silence.news else "No news of the day received.")]),
        Piece(14, _nothing),
    ]
    again = Piece(16, partial(_continued, symbol=report.symbol))
    return Group(pieces, again)


def _nothing(paper: Paper, top: float) -> None:
    """Room between two symbols."""


def _line(text: str) -> Piece:
    return Piece(11, partial(_said, text=text))


def _said(paper: Paper, top: float, *, text: str) -> None:
    paper.text(LEFT, top + 8, text, SMALL)


def _continued(paper: Paper, top: float, *, symbol: str) -> None:
    paper.text(LEFT, top + 9, f"{formats.ticker(symbol)}, continued", STRONG)


def _head(paper: Paper, top: float, *, report: model.SymbolReport) -> None:
    paper.rule(top, "strong")
    base = top + 18
    x = LEFT + paper.text(LEFT, base, fit(formats.ticker(report.symbol), _NAME, 200), _NAME) + 5
    x += paper.text(x, base, formats.venue(report.symbol), SMALL) + 8
    x += paper.badge(x, base - 0.5, wording.source_word(report.source), wording.source_colour(report.source)) + 5
    if report.state != model.SymbolState.ARRIVED:
        paper.badge(x, base - 0.5, f"LATE: {formats.short_date(report.last.date)}", "warn")
    change = Type(10, formats.way(report.change), MEDIUM)
    right = RIGHT - paper.text(RIGHT, base, formats.percent(report.change), change, "right") - 8
    right -= paper.text(right, base, formats.signed_price(report.change_absolute, report.last.close), change, "right") + 8
    paper.text(right, base, formats.price(report.last.close), _CLOSE, "right")


def _notes(report: model.SymbolReport) -> Iterator[Piece]:
    style = Type(7.8, "warn")
    for note in report.notes:
        lines = wrap(note, style, RIGHT - LEFT - 12)
        yield Piece(len(lines) * 10 + 7, partial(_note, lines=lines, style=style))


def _note(paper: Paper, top: float, *, lines: list[str], style: Type) -> None:
    paper.rect(Box(LEFT, top, RIGHT - LEFT, len(lines) * 10 + 4), "warn-ground", 2)
    paper.lines(LEFT + 6, top + 9, lines, style, 10)


def _body(paper: Paper, top: float, *, report: model.SymbolReport) -> None:
    draw_chart(paper, charts.symbol_chart(report.chart, report.symbol, report.splits), Box(CHART.x, top + 2, CHART.width, CHART.height))
    at = _sessions(paper, top + 8, report)
    for label, value, more in _figures(report):
        paper.text(SIDE, at, label, _LABEL)
        taken = paper.text(RIGHT, at, more, _LABEL, "right") + 6 if more else 0.0
        paper.text(RIGHT - taken, at, value, _VALUE, "right")
        at += 11.2


def _sessions(paper: Paper, base: float, report: model.SymbolReport) -> float:
    """The last session and the one before, side by side. Returns the base line below them."""
    columns = [(RIGHT, report.last, _VALUE_STRONG)]
    if report.previous:
        columns = [(RIGHT - 66, report.last, _VALUE_STRONG), (RIGHT, report.previous, _VALUE)]
    for right, session, _ in columns:
        paper.text(right, base, formats.short_date(session.date), _LABEL, "right")
    rows = ("Open", "High", "Low", "Close", "Volume")
    for index, label in enumerate(rows, start=1):
        at = base + index * 11.2
        paper.text(SIDE, at, label, _LABEL)
        for right, session, style in columns:
            values = (session.open, session.high, session.low, session.close)
            text = formats.price(values[index - 1]) if index < 5 else formats.count(session.volume)
            paper.text(right, at, text, style, "right")
    paper.rule(base + 5 * 11.2 + 4.5, "line", SIDE)
    return base + 6 * 11.2 + 4


def _figures(report: model.SymbolReport) -> Iterator[tuple[str, str, str]]:
    extremes, indicators = report.extremes, report.indicators
    weeks = "52-week" if extremes.weeks_52_complete else "< 52-week"
    for label, item in ((f"{weeks} high", extremes.high_52w), (f"{weeks} low", extremes.low_52w), ("Record high", extremes.high_ever)):
        yield label, formats.price(item.price), f"{_when(item)}  {formats.percent(item.distance, 1)}"
    yield "Gap at the open", formats.percent(report.gap), ""
    yield "ATR 14", formats.distance(indicators.get("atr_14"), report.last.close), f"{formats.share(report.atr_fraction, 1)} of close"
    yield "Volume ratio", formats.ratio(report.volume_ratio), f"of {formats.count(report.volume_average_20)}"
    yield "RSI 14", formats.number(indicators.get("rsi_14")), ""
    for period in (20, 50, 200):
        value = indicators.get(f"sma_{period}")
        yield f"Average of {period}", formats.price(value), formats.percent(report.last.close / value - 1, 1) if value else ""


def _when(item: model.Extreme) -> str:
    return "new" if item.is_new else formats.numeric_date(item.date)


def _signal(signal: model.SignalReport, clock: formats.Clock, day: str) -> Piece:
    return Piece(50, partial(_draw_signal, signal=signal, at=clock.minute(signal.ts_close, day)))


def _draw_signal(paper: Paper, top: float, *, signal: model.SignalReport, at: str) -> None:
    paper.triangle(LEFT + 3.5, top + (2.5 if signal.direction == model.Direction.UP else 9), str(signal.direction), 6.2)
    x = LEFT + 11 + paper.text(LEFT + 11, top + 9, signal.title, STRONG) + 6
    said = f"at {formats.price(signal.price)}, {at}, strength {formats.share(signal.strength)}. {signal.meaning}"
    paper.text(x, top + 9, fit(said, SMALL, RIGHT - x), SMALL)
    few = wording.own_is_too_few(signal)
    scope = formats.outcome_scope(signal) + (f" ({few})" if few else "")
    paper.text(LEFT + 11, top + 19, fit(scope, _SCOPE, RIGHT - LEFT - 11), _SCOPE)
    for index, item in enumerate(signal.outcomes.horizons):
        left = LEFT + 11 + index * (_THIRD - 3)
        paper.text(left, top + 31, f"after {wording.sessions(item.sessions)}", _AFTER)
        draw_interval(paper, Box(left + 70, top + 25, 78, 8), item)
        paper.text(left, top + 40, fit(item.text, SMALL, _THIRD - 8), SMALL)


def draw_interval(paper: Paper, box: Box, item: model.HorizonOutcome) -> None:
    """A hit rate with its interval on the scale of `wording.SCALE`, and what no signal would have hit."""
    if item.hit_rate is None or item.hit_low is None or item.hit_high is None:
        return
    middle = box.top + box.height / 2
    paper.rule(middle, "strong", box.x, box.x + box.width)
    low, high = (box.x + wording.on_scale(value) * box.width for value in (item.hit_low, item.hit_high))
    paper.rect(Box(low, middle - 1.6, high - low, 3.2), "accent-soft")
    if item.base_rate is not None:
        paper.rect(Box(box.x + wording.on_scale(item.base_rate) * box.width - 0.5, box.top, 1, box.height), "text")
    paper.dot(box.x + wording.on_scale(item.hit_rate) * box.width, middle, 1.9, "accent")
