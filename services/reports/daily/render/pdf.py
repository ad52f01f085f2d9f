"""The report on paper, A4 (docs/adr/0009-report-pdf.md)."""

from __future__ import annotations

from collections.abc import Sequence

from services.reports.daily import model
from services.reports.daily.render import formats, wording
from services.reports.daily.render.layout import Group, Sheet, arrange, sheet_numbers
from services.reports.daily.render.paper import BOTTOM, LEFT, MEDIUM, RIGHT, SMALL, Paper, Type
from services.reports.daily.render.pdf_closing import alert_groups, reading_group, system_groups
from services.reports.daily.render.pdf_market import market_groups
from services.reports.daily.render.pdf_overview import coverage_groups, news_groups, signal_groups, table_groups, title_group
from services.reports.daily.render.pdf_parts import heading
from services.reports.daily.render.pdf_symbol import Silence, symbol_group


def render_pdf(report: model.DailyReportModel) -> bytes:
    """The whole document. The same report gives the same bytes.

    Everything is measured first and put on sheets, then drawn: so the table can say on which page a symbol is, and each page of how many it is one.
    """
    clock = formats.Clock(report.meta.time_zone)
    sources = wording.source_counts(report)
    pages: dict[str, int] = {}
    # Before anything is measured: it reads the fonts.
    paper = Paper(f"{wording.TITLE}, {report.meta.date}", f"{report.meta.id}, version {report.meta.version}")
    sheets = arrange(_groups(report, clock, sources, pages))
    pages.update(sheet_numbers(sheets))
    paper.places = frozenset(pages)
    for number, sheet in enumerate(sheets, start=1):
        _draw(paper, sheet)
        _footer(paper, report, sources, f"{number} / {len(sheets)}")
        paper.next_sheet()
    return paper.finish()


def _groups(report: model.DailyReportModel, clock: formats.Clock, sources: list[tuple[str, int]], pages: dict[str, int]) -> Sequence[Group]:
    day = report.meta.date
    silence = Silence(analysis=bool(wording.silent(report.coverage, "analysis")), news=bool(wording.silent(report.coverage, "news")))
    symbols = [symbol_group(item, clock, day, silence) for item in report.symbols]
    if symbols:
        symbols[0] = Group([heading("Symbols"), *symbols[0].pieces], symbols[0].repeat, starts_sheet=True)
    return [
        title_group(report, clock, sources),
        *coverage_groups(report, sources),
        *market_groups(report.market),
        *signal_groups(report),
        *table_groups(report, pages),
        *news_groups(report, clock),
        *symbols,
        *alert_groups(report, clock),
        *system_groups(report.system, clock),
        reading_group(report, clock),
    ]


def _draw(paper: Paper, sheet: Sheet) -> None:
    for top, piece in sheet.placed:
        if piece.anchor:
            paper.anchor(piece.anchor, top)
        if piece.title:
            paper.outline(piece.title, piece.anchor, piece.level)
        piece.draw(paper, top)


def _footer(paper: Paper, report: model.DailyReportModel, sources: list[tuple[str, int]], page: str) -> None:
    """Every sheet says what it is of, and whether its prices are real."""
    paper.rule(BOTTOM + 12)
    base = BOTTOM + 24
    x = LEFT + paper.text(LEFT, base, f"Signalbox {wording.TITLE.lower()}, {formats.short_date(report.meta.date)}", SMALL) + 8
    for source, _ in sources:
        x += paper.badge(x, base - 0.3, wording.source_word(source), wording.source_colour(source)) + 4
    paper.text((x + RIGHT) / 2, base, report.meta.id, SMALL, "middle")
    paper.text(RIGHT, base, page, Type(8, "soft", MEDIUM), "right")
