"""What several sheets share: headings, tables, bars with their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from services.reports.daily.render.layout import Piece
from services.reports.daily.render.paper import BODY, HEADING, LEFT, RIGHT, SMALL, SUBHEADING, Box, Paper, Type, fit, width_of, wrap

#: Height of a table's row.
ROW = 12.5
#: Height of a bar with its words.
BAR_ROW = 13.0


@dataclass(frozen=True, slots=True)
class Cell:
    """A text of a table's row."""

    text: str
    style: Type = BODY


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column from `left` to `right`; right-aligned where it is of figures."""

    title: str
    left: float
    right: float
    is_figure: bool = False


def heading(title: str, small: str = "", anchor: str = "") -> Piece:
    """A section's."""
    return Piece(38, partial(_heading, title=title, small=small), anchor or title.lower(), title, 0, air=12)


def _heading(paper: Paper, top: float, *, title: str, small: str) -> None:
    x = LEFT + paper.text(LEFT, top + 25, title, HEADING)
    paper.text(x + 7, top + 25, small, SMALL)


def subheading(title: str, small: str = "", colour: str = "text") -> Piece:
    """Within a section."""
    return Piece(21, partial(_subheading, title=title, small=small, style=Type(SUBHEADING.size, colour, SUBHEADING.font)), air=4)


def _subheading(paper: Paper, top: float, *, title: str, small: str, style: Type) -> None:
    x = LEFT + paper.text(LEFT, top + 15, title, style)
    paper.text(x + 6, top + 15, small, SMALL)


def paragraph(text: str, style: Type = BODY, width: float = RIGHT - LEFT) -> Piece:
    """Text in lines."""
    leading = style.size * 1.36
    lines = wrap(text, style, width)
    return Piece(len(lines) * leading + 4, lambda paper, top: paper.lines(LEFT, top + leading, lines, style, leading))


def gap(height: float) -> Piece:
    """Nothing."""
    return Piece(height, lambda paper, top: None)


def table_heading(columns: Sequence[Column]) -> Piece:
    """The columns' names over a line."""
    return Piece(15, partial(_table_heading, columns=columns))


def _table_heading(paper: Paper, top: float, *, columns: Sequence[Column]) -> None:
    for column in columns:
        x, align = (column.right, "right") if column.is_figure else (column.left, "left")
        paper.text(x, top + 9.5, column.title, SMALL, align)
    paper.rule(top + 13.5, "strong", columns[0].left, columns[-1].right)


def put_row(paper: Paper, top: float, columns: Sequence[Column], cells: Sequence[Cell]) -> None:
    """One line of a table; what is too long is shortened."""
    for column, cell in zip(columns, cells, strict=True):
        shown = fit(cell.text, cell.style, column.right - column.left)
        if column.is_figure:
            paper.text(column.right, top + 8.8, shown, cell.style, "right")
        else:
            paper.text(column.left, top + 8.8, shown, cell.style)
    paper.rule(top + ROW - 0.4, "line", columns[0].left, columns[-1].right)


def labelled_bar(paper: Paper, box: Box, label: str, parts: list[tuple[float, str]], words: Sequence[Cell]) -> None:
    """A label, a bar, and words right of it, each 44 points wide."""
    paper.text(box.x, box.top + 8.6, fit(label, BODY, 128), BODY)
    room = 44.0 * len(words)
    paper.bar(Box(box.x + 134, box.top + 2.6, box.width - 134 - room, 6.6), parts)
    for index, word in enumerate(words, start=1):
        paper.text(box.x + box.width - room + index * 44, box.top + 8.6, word.text, word.style, "right")


def tiles(paper: Paper, top: float, values: Sequence[tuple[str, str, str]]) -> None:
    """Large figures beside each other: (name, figure, colour)."""
    width = (RIGHT - LEFT) / len(values)
    for index, (name, figure, colour) in enumerate(values):
        x = LEFT + index * width
        paper.text(x, top + 9, name, SMALL)
        paper.text(x, top + 26, figure, Type(16, colour, HEADING.font))


def chips(names: Sequence[str], left: float, width: float) -> list[list[str]]:
    """Names in lines of a width, two spaces between them."""
    lines: list[list[str]] = [[]]
    taken = 0.0
    for name in names:
        needed = width_of(name, BODY) + 8
        if lines[-1] and taken + needed > width:
            lines.append([])
            taken = 0.0
        lines[-1].append(name)
        taken += needed
    return lines
