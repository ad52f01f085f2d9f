"""The market overview on paper: pictures first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from services.reports.daily import model
from services.reports.daily.render import charts, formats
from services.reports.daily.render.layout import Group, Piece
from services.reports.daily.render.paper import BODY, LEFT, MEDIUM, RIGHT, SMALL, STRONG, SUBHEADING, Box, Paper, Type, fit
from services.reports.daily.render.pdf_charts import draw_chart
from services.reports.daily.render.pdf_parts import BAR_ROW, Cell, chips, heading, labelled_bar, paragraph, subheading
from services.reports.daily.render.pdf_symbol import anchor_of

#: Two columns with a gutter between them.
COLUMN = (RIGHT - LEFT - 24) / 2
SECOND = LEFT + COLUMN + 24
#: Names of new highs and lows that are printed; the rest are counted.
_MOST_LINES = 8


def market_groups(market: model.Market) -> list[Group]:
    """The section."""
    breadth = market.breadth
    counted = breadth.advancers + breadth.unchanged + breadth.decliners
    if not counted:
        return [Group([heading("Market"), paragraph("No symbol has a bar of the day: there is nothing to sum up.", SMALL)])]
    top = [heading("Market", f"{formats.count(counted)} symbols with a bar of the day"), Piece(66, partial(_breadth, market=market, counted=counted))]
    shares = _shares(market)
    types = list(market.signals_by_type.items())
    groups = [Group([*top, Piece(max(22 + len(shares) * BAR_ROW, 128), partial(_shares_and_changes, market=market, rows=shares))])]
    if market.history.dates:
        groups.append(Group([Piece(126, partial(_history, history=market.history))]))
    rows = max(len(market.up), len(market.down), 1)
    groups.append(Group([Piece(26 + rows * BAR_ROW, partial(_movers, up=market.up, down=market.down))]))
    busiest = [row for row in market.busiest if row.volume_ratio is not None]
    groups.append(Group([Piece(26 + max(len(busiest), len(types), 0 if types else 7) * BAR_ROW, partial(_busiest, market=market, rows=busiest, types=types))]))
    groups.append(Group([*_names("New 52-week highs", market.new_highs), *_names("New 52-week lows", market.new_lows)]))
    return groups


def _title(paper: Paper, x: float, top: float, title: str, small: str = "") -> None:
    taken = paper.text(x, top + 12, title, SUBHEADING)
    paper.text(x + taken + 6, top + 12, small, SMALL)


def _breadth(paper: Paper, top: float, *, market: model.Market, counted: int) -> None:
    breadth = market.breadth
    parts = [(breadth.advancers / counted, "up"), (breadth.unchanged / counted, "strong"), (breadth.decliners / counted, "down")]
    paper.bar(Box(LEFT, top + 2, RIGHT - LEFT, 16), parts)
    paper.text(LEFT, top + 29, f"{formats.count(breadth.advancers)} rose", Type(9, "up", MEDIUM))
    paper.text((LEFT + RIGHT) / 2, top + 29, f"{formats.count(breadth.unchanged)} unchanged", Type(9, "soft", MEDIUM), "middle")
    paper.text(RIGHT, top + 29, f"{formats.count(breadth.decliners)} fell", Type(9, "down", MEDIUM), "right")
    said = f"Median change {formats.percent(market.median_change)}, mean {formats.percent(market.mean_change)}; "
    paper.text(LEFT, top + 46, f"{said}median volume {formats.ratio(market.volume_ratio_median)} its average of 20 sessions.", BODY)


def _shares(market: model.Market) -> Sequence[tuple[str, model.Share]]:
    breadth = market.breadth
    return (
        ("at a new 52-week high", breadth.new_highs_52w),
        ("at a new 52-week low", breadth.new_lows_52w),
        ("above the average of 20", breadth.above_sma_20),
        ("above the average of 50", breadth.above_sma_50),
        ("above the average of 200", breadth.above_sma_200),
        ("RSI over 70", breadth.rsi_above_70),
        ("RSI under 30", breadth.rsi_below_30),
        ("on more volume than usual", market.volume_above_average),
    )


def _shares_and_changes(paper: Paper, top: float, *, market: model.Market, rows: Sequence[tuple[str, model.Share]]) -> None:
    _title(paper, LEFT, top, "How many symbols are", f"of {rows[-1][1].of:,} or as many as can be told")
    for index, (label, share) in enumerate(rows):
        box = Box(LEFT, top + 20 + index * BAR_ROW, COLUMN, BAR_ROW)
        labelled_bar(paper, box, label, [(share.fraction or 0.0, "accent")], [Cell(formats.share(share.fraction), STRONG)])
    _title(paper, SECOND, top, "Changes of the day")
    draw_chart(paper, charts.change_histogram(market.changes, ""), Box(SECOND, top + 18, COLUMN, 88))


def _history(paper: Paper, top: float, *, history: model.MarketHistory) -> None:
    _title(paper, LEFT, top, "Risers and fallers", f"{len(history.dates)} sessions")
    draw_chart(paper, charts.breadth_history(history), Box(LEFT, top + 20, COLUMN - 22, 84))
    _title(paper, SECOND, top, "Above their averages")
    paper.text(SECOND + 106, top + 12, "of 50", Type(7.5, "sma50", MEDIUM))
    paper.text(SECOND + 130, top + 12, "of 200", Type(7.5, "sma200", MEDIUM))
    draw_chart(paper, charts.averages_history(history), Box(SECOND, top + 20, COLUMN - 26, 84))


def _movers(paper: Paper, top: float, *, up: Sequence[model.Mover], down: Sequence[model.Mover]) -> None:
    for x, title, rows, tone in ((LEFT, "Largest rises", up, "up"), (SECOND, "Largest falls", down, "down")):
        _title(paper, x, top, title)
        reach = max((abs(row.change) for row in rows), default=0.0) or 1.0
        for index, row in enumerate(rows):
            words = (formats.price(row.close), formats.percent(row.change), tone)
            _mover(paper, Box(x, top + 20 + index * BAR_ROW, COLUMN, BAR_ROW), row.symbol, abs(row.change) / reach, words)
        if not rows:
            paper.text(x, top + 28, "None.", SMALL)


def _mover(paper: Paper, box: Box, symbol: str, fraction: float, words: tuple[str, str, str]) -> None:
    middle, right, tone = words
    base = box.top + 8.6
    paper.text(box.x, base, fit(formats.ticker(symbol), STRONG, 62), STRONG)
    paper.link(anchor_of(symbol), Box(box.x, box.top, 62, box.height))
    paper.text(box.x + 112, base, middle, BODY, "right")
    paper.bar(Box(box.x + 120, box.top + 2.6, box.width - 120 - 52, 6.6), [(fraction, tone)])
    paper.text(box.x + box.width, base, right, Type(8.5, tone if tone in ("up", "down") else "text", MEDIUM), "right")


def _busiest(paper: Paper, top: float, *, market: model.Market, rows: Sequence[model.Mover], types: Sequence[tuple[str, int]]) -> None:
    _title(paper, LEFT, top, "Busiest", "volume by its average of 20 sessions")
    reach = max((row.volume_ratio or 0.0 for row in rows), default=0.0) or 1.0
    for index, row in enumerate(rows):
        words = (formats.count(row.volume), formats.ratio(row.volume_ratio), "accent")
        _mover(paper, Box(LEFT, top + 20 + index * BAR_ROW, COLUMN, BAR_ROW), row.symbol, (row.volume_ratio or 0.0) / reach, words)
    if not types:
        _title(paper, SECOND, top, "Volume against its average")
        draw_chart(paper, charts.change_histogram(market.volume_ratios, "", is_ratio=True), Box(SECOND, top + 18, COLUMN, 86))
        return
    _title(paper, SECOND, top, "Signals of the day")
    most = max(number for _, number in types) or 1
    for index, (kind, number) in enumerate(types):
        box = Box(SECOND, top + 20 + index * BAR_ROW, COLUMN, BAR_ROW)
        labelled_bar(paper, box, kind.replace("_", " "), [(number / most, "accent")], [Cell(f"{number:,}", STRONG)])


def _names(title: str, symbols: Sequence[str]) -> list[Piece]:
    lines = chips([formats.ticker(symbol) for symbol in symbols], LEFT, RIGHT - LEFT)
    shown = lines[:_MOST_LINES]
    left_out = sum(len(line) for line in lines[_MOST_LINES:])
    more = f"and {left_out:,} more, in the table" if left_out else ""
    pieces = [subheading(title, f"{len(symbols):,}")]
    if not symbols:
        return [*pieces, paragraph("None.", SMALL)]
    return [*pieces, *(Piece(12, partial(_said, text="  ".join(line))) for line in shown), *([paragraph(more, SMALL)] if more else [])]


def _said(paper: Paper, top: float, *, text: str) -> None:
    paper.text(LEFT, top + 9, text, BODY)
