"""Articles on paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from services.reports.daily import model
from services.reports.daily.render import formats, wording
from services.reports.daily.render.layout import Piece
from services.reports.daily.render.paper import LEFT, RIGHT, SMALL, Box, Paper, Type, fit, wrap

_TITLE = Type(8.2, "text")
#: Left end of the titles; the time stands before it.
_INDENT = 62.0
#: A title of more lines is shortened: the HTML has it whole.
_MOST_LINES = 3


def news_pieces(items: Iterable[model.NewsItem], clock: formats.Clock, day: str, *, with_symbols: bool) -> Iterator[Piece]:
    """One piece an article: time, title, publisher, sentiment, and which symbols it is about."""
    for item in items:
        lines = wrap(item.title, _TITLE, RIGHT - LEFT - _INDENT, _MOST_LINES)
        yield Piece(len(lines) * 10 + 13, partial(_draw, item=item, lines=lines, at=clock.minute(item.published_ns, day), with_symbols=with_symbols))


def _draw(paper: Paper, top: float, *, item: model.NewsItem, lines: list[str], at: str, with_symbols: bool) -> None:
    paper.text(LEFT, top + 9, at, SMALL)
    left = LEFT + _INDENT
    paper.lines(left, top + 9, lines, _TITLE, 10)
    address = wording.web_link(item.url)
    if address:
        paper.web_link(address, Box(left, top + 1, RIGHT - left, len(lines) * 10))
    base = top + 9 + len(lines) * 10 - 0.5
    x = left + paper.text(left, base, fit(item.publisher, SMALL, 200), SMALL)
    if item.sentiment is not None:
        said = f" · {item.sentiment_label or 'sentiment'} {formats.number(item.sentiment, 2)}"
        x += paper.text(x, base, said, Type(7.5, wording.sentiment_way(item)))
    if item.is_recorded:
        x += paper.badge(x + 5, base - 0.3, "RECORDED", "replay") + 5
    if with_symbols and item.symbols:
        paper.text(x, base, fit(f" · {', '.join(formats.ticker(symbol) for symbol in item.symbols)}", SMALL, RIGHT - x), SMALL)
