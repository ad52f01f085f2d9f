"""The first sheets on paper: what arrived, the day's signals, all symbols in one table, the news."""

from __future__ import annotations

from functools import partial

from services.reports.daily import model
from services.reports.daily.render import charts, formats, wording
from services.reports.daily.render.layout import Group, Piece, rows_of
from services.reports.daily.render.paper import BODY, LEFT, MEDIUM, RIGHT, SMALL, SOFT, STRONG, Box, Paper, Type, fit
from services.reports.daily.render.pdf_charts import draw_chart
from services.reports.daily.render.pdf_news import news_pieces
from services.reports.daily.render.pdf_parts import ROW, Cell, Column, gap, heading, paragraph, put_row, subheading, table_heading, tiles
from services.reports.daily.render.pdf_symbol import anchor_of, draw_interval

#: Signals and articles printed in their lists. All of them are in the HTML, and each symbol's at the symbol.
MOST_LISTED = 80
_TITLE = Type(21, "text", MEDIUM)

_LACKING = (
    Column("Symbol", LEFT, LEFT + 92),
    Column("State", LEFT + 98, LEFT + 142),
    Column("Reason", LEFT + 146, RIGHT - 62),
    Column("Last bar", RIGHT - 60, RIGHT, True),
)
_SIGNALS = (
    Column("Symbol", LEFT, LEFT + 56),
    Column("Signal", LEFT + 72, LEFT + 178),
    Column("Price", LEFT + 180, LEFT + 228, True),
    Column("Strength", LEFT + 230, LEFT + 266, True),
    Column("What such signals did", LEFT + 280, RIGHT),
)
_EDGES = (92.0, 140.0, 190.0, 232.0, 270.0, 306.0, 334.0, 366.0, 406.0, 448.0, 490.0)
_TABLE = (
    Column("Symbol", LEFT, LEFT + 62),
    *(
        Column(title, LEFT + left + 2, LEFT + right, True)
        for title, left, right in zip(
            ("Close", "Change", "Gap", "Volume", "× avg.", "RSI", "ATR", "From high", "From low", "Signals"), _EDGES, _EDGES[1:], strict=False
        )
    ),
    Column("Page", RIGHT - 30, RIGHT, True),
)


def title_group(report: model.DailyReportModel, clock: formats.Clock, sources: list[tuple[str, int]]) -> Group:
    """The head of the first sheet."""
    return Group([Piece(74, partial(_title, report=report, clock=clock, sources=sources))])


def _title(paper: Paper, top: float, *, report: model.DailyReportModel, clock: formats.Clock, sources: list[tuple[str, int]]) -> None:
    _logo(paper, LEFT, top)
    paper.text(LEFT + 42, top + 17, wording.TITLE, _TITLE)
    paper.text(LEFT + 42, top + 32, formats.long_date(report.meta.date), Type(11, "soft"))
    x = RIGHT
    for source, number in reversed(sources):
        words = f"{wording.source_word(source)}  {number:,} {'SYMBOL' if number == 1 else 'SYMBOLS'}"
        style = Type(8, wording.source_colour(source), MEDIUM)
        width = paper.measure(words, style) + 14
        paper.rect(Box(x - width, top + 4, width, 15), f"{style.colour}-ground", 3)
        paper.text(x - width + 7, top + 14.3, words, style)
        x -= width + 6
    meta = report.meta
    said = f"Recorded {clock.moment(meta.recorded_ns)}   ·   times in {meta.time_zone}   ·   input {meta.input_sha256[:8]}   ·   version {meta.version}"
    paper.text(LEFT, top + 54, said, SMALL)
    paper.rule(top + 62, "strong")


def _logo(paper: Paper, x: float, top: float) -> None:
    """The product's mark: a signal's arm."""
    paper.rect(Box(x, top, 32, 32), "logo", 7)
    paper.rect(Box(x + 7.7, top + 5, 2.6, 22), "logo-post", 1.2)
    y = paper.upward(top)
    paper.path(f"{x + 9} {y - 10} m {x + 26} {y - 5.8} l {x + 26} {y - 14.8} l {x + 9} {y - 16} l", "logo-arm", 0, filled=True)
    paper.dot(x + 9, top + 13, 4.1, "logo-arm")
    paper.dot(x + 9, top + 13, 2.1, "logo")
    paper.rect(Box(x + 5, top + 25.8, 8, 2.4), "logo-post", 1.2)


def coverage_groups(report: model.DailyReportModel, sources: list[tuple[str, int]]) -> list[Group]:
    """What was expected and what came, each symbol that did not with its reason."""
    coverage = report.coverage
    first = [heading("Coverage"), paragraph(wording.headline(coverage), Type(10.5)), Piece(50, partial(_coverage, coverage=coverage))]
    groups = [Group(first)]
    lacking = [row for state in wording.LACKING for row in coverage.of(state)]
    if lacking:
        head = subheading("Not as expected", f"{len(lacking):,}")
        groups += rows_of([head], (Piece(ROW, partial(_lacking, row=row)) for row in lacking), table_heading(_LACKING))
    groups.append(Group([gap(4), subheading("Who was asked"), *(Piece(ROW, partial(_asked, source=source)) for source in coverage.sources)]))
    said = f"{wording.sources_sentence(sources)} {wording.day_was_chosen(report.meta)}"
    return [*groups, Group([gap(4), paragraph(said, SMALL), gap(6)])]


def _coverage(paper: Paper, top: float, *, coverage: model.Coverage) -> None:
    whole = coverage.expected or 1
    parts = [(coverage.arrived / whole, "up"), (coverage.late / whole, "warn"), (coverage.missing / whole, "bad"), (coverage.failed / whole, "bad-soft")]
    paper.bar(Box(LEFT, top + 3, RIGHT - LEFT, 7), parts)
    values = (
        ("Expected", coverage.expected, "text"),
        ("Arrived", coverage.arrived, "up"),
        ("Late", coverage.late, "warn"),
        ("Missing", coverage.missing, "bad"),
        ("Failed", coverage.failed, "bad"),
    )
    tiles(paper, top + 16, [(name, formats.count(value), colour if value else "muted") for name, value, colour in values])


def _lacking(paper: Paper, top: float, *, row: model.CoverageRow) -> None:
    symbol = f"{formats.ticker(row.symbol)} {formats.venue(row.symbol)}"
    state = Cell(str(row.state), Type(8.5, "warn" if row.state is model.SymbolState.LATE else "bad", MEDIUM))
    put_row(paper, top, _LACKING, (Cell(symbol, STRONG), state, Cell(row.reason), Cell(formats.short_date(row.last_date), SOFT)))


def _asked(paper: Paper, top: float, *, source: model.SourceRow) -> None:
    paper.dot(LEFT + 3, top + 6, 2.4, "good" if source.ok else "bad")
    paper.text(LEFT + 11, top + 8.8, source.name, STRONG)
    paper.text(LEFT + 70, top + 8.8, "answered" if source.ok else "gave nothing", Type(8.5, "muted" if source.ok else "bad"))
    paper.text(LEFT + 134, top + 8.8, fit(source.detail, SOFT, RIGHT - LEFT - 134), SOFT)


def signal_groups(report: model.DailyReportModel) -> list[Group]:
    """The strongest signals in a list."""
    head = heading("Signals of the day", f"{len(report.signals):,}, strongest first" if report.signals else "")
    if not report.signals:
        return [Group([head, paragraph(wording.silent(report.coverage, "analysis") or "No signal on the day.", SMALL)])]
    shown = report.signals[:MOST_LISTED]
    after = f", {wording.sessions(model.HORIZONS[1])} on"
    columns = (*_SIGNALS[:-1], Column(_SIGNALS[-1].title + after, _SIGNALS[-1].left, RIGHT))
    groups = rows_of([head], (Piece(ROW, partial(_signal, signal=signal)) for signal in shown), table_heading(columns))
    left_out = len(report.signals) - len(shown)
    return [*groups, Group([paragraph(f"and {left_out:,} weaker ones, each at its symbol", SMALL)])] if left_out else groups


def _signal(paper: Paper, top: float, *, signal: model.SignalReport) -> None:
    past = signal.outcomes.horizons[1]
    cells = (
        Cell(formats.ticker(signal.symbol), STRONG),
        Cell(signal.title),
        Cell(formats.price(signal.price)),
        Cell(formats.share(signal.strength)),
        Cell("" if past.is_enough else past.text, SMALL),
    )
    put_row(paper, top, _SIGNALS, cells)
    paper.triangle(_SIGNALS[1].left - 7, top + (3.2 if signal.direction == model.Direction.UP else 9), str(signal.direction), 5.6)
    paper.link(anchor_of(signal.symbol), Box(LEFT, top, 60, ROW))
    if past.is_enough:
        left = _SIGNALS[4].left
        draw_interval(paper, Box(left, top + 2, 70, 8), past)
        paper.text(left + 78, top + 8.8, fit(past.text, SMALL, RIGHT - left - 78), SMALL)


def table_groups(report: model.DailyReportModel, pages: dict[str, int]) -> list[Group]:
    """Every symbol with figures, and the page that it is on; `pages` is filled once everything has its place."""
    head = heading("All symbols", f"{len(report.symbols):,} with figures" if report.symbols else "")
    if not report.symbols:
        return [Group([head, paragraph("No symbol has figures.", SMALL)])]
    rows = (Piece(ROW, partial(_symbol_row, report=item, pages=pages)) for item in report.symbols)
    return rows_of([head], rows, table_heading(_TABLE))


def _symbol_row(paper: Paper, top: float, *, report: model.SymbolReport, pages: dict[str, int]) -> None:
    name = formats.ticker(report.symbol) + ("" if report.state == model.SymbolState.ARRIVED else " late")
    rsi = report.indicators.get("rsi_14")
    texts = (
        formats.price(report.last.close),
        formats.percent(report.change),
        formats.percent(report.gap),
        formats.count(report.last.volume),
        formats.ratio(report.volume_ratio),
        formats.number(rsi, 0),
        formats.share(report.atr_fraction, 1),
        formats.percent(report.extremes.high_52w.distance, 1),
        formats.percent(report.extremes.low_52w.distance, 1),
        "",
        str(pages.get(anchor_of(report.symbol), "")),
    )
    cells = [Cell(name, STRONG), *(Cell(text) for text in texts)]
    cells[2] = Cell(texts[1], Type(8.5, formats.way(report.change), MEDIUM))
    put_row(paper, top, _TABLE, cells)
    draw_chart(paper, charts.spark(report.chart.close), Box(LEFT + 66, top + 1.5, 34, 8))
    _counts(paper, top, report)
    paper.link(anchor_of(report.symbol), Box(LEFT, top, RIGHT - LEFT, ROW))


def _counts(paper: Paper, top: float, report: model.SymbolReport) -> None:
    right = _TABLE[10].right
    ups, downs = formats.signal_counts(report)
    for count, direction in ((downs, "down"), (ups, "up")):
        if count:
            right -= paper.text(right, top + 8.8, str(count), BODY, "right") + 5
            paper.triangle(right, top + (3.4 if direction == "up" else 8.6), direction, 5)
            right -= 7


def news_groups(report: model.DailyReportModel, clock: formats.Clock) -> list[Group]:
    """The newest articles of the day; without any, those before it."""
    items, day = report.news.of_day, report.meta.date
    head = heading("News of the day", f"{len(items):,}, newest first" if items else "")
    if items:
        pieces = list(news_pieces(items[:MOST_LISTED], clock, day, with_symbols=True))
        groups = [Group([head, pieces[0]]), *(Group([piece]) for piece in pieces[1:])]
        left_out = len(items) - len(pieces)
        return [*groups, Group([paragraph(f"and {left_out:,} older ones, in the HTML", SMALL)])] if left_out else groups
    groups = [Group([head, paragraph(wording.silent(report.coverage, "news") or "No article was published or received on the day.", SMALL)])]
    earlier = list(news_pieces(report.news.latest, clock, day, with_symbols=True))
    if earlier:
        groups.append(Group([subheading("The newest before it"), earlier[0]]))
        groups += [Group([piece]) for piece in earlier[1:]]
    return groups
