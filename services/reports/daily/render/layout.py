"""Which piece goes on which sheet: pieces of known height, kept together in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from services.reports.daily.render.paper import BOTTOM, TOP, Paper

Draw = Callable[[Paper, float], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """Something of a fixed height; `draw` is given the paper and the piece's upper end."""

    height: float
    draw: Draw
    anchor: str = ""
    """Name of the place, where links lead here."""
    title: str = ""
    """For the reader's table of contents; empty: not in it."""
    level: int = 0
    air: float = 0.0
    """Part of the height that only keeps it apart from what is above."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pieces that stay on one sheet if they fit on one, and break between each other otherwise."""

    pieces: Sequence[Piece]
    repeat: Piece | None = None
    """Drawn above what continues on another sheet: a table's heading."""
    starts_sheet: bool = False

    @property
    def height(self) -> float:
        """Of all of it."""
        return sum(piece.height for piece in self.pieces)


@dataclass(slots=True)
class Sheet:
    """What is on one sheet, with its upper end."""

    placed: list[tuple[float, Piece]] = field(default_factory=list)
    at: float = TOP

    def put(self, piece: Piece) -> None:
        """Below what is there; nothing needs air above it at a sheet's upper end."""
        if not self.placed:
            self.at -= piece.air
        self.placed.append((self.at, piece))
        self.at += piece.height

    def has_room(self, height: float) -> bool:
        """Whether so much more goes on it."""
        return self.at + height <= BOTTOM + 0.01


def rows_of(header: Sequence[Piece], rows: Iterable[Piece], repeat: Piece) -> list[Group]:
    """A table: its first rows stay with its heading, and the columns' names stand above each continuation."""
    rest = list(rows)
    first, later = rest[:3], rest[3:]
    return [Group([*header, repeat, *first], repeat), *(Group([row], repeat) for row in later)]


def arrange(groups: Iterable[Group]) -> list[Sheet]:
    """Sheets, at least one."""
    sheets = [Sheet()]
    for group in groups:
        sheet = sheets[-1]
        fits_on_one = group.height <= BOTTOM - TOP
        if sheet.placed and (group.starts_sheet or (fits_on_one and not sheet.has_room(group.height))):
            sheets.append(_continued(group.repeat if len(group.pieces) == 1 else None))
        for piece in group.pieces:
            if not sheets[-1].has_room(piece.height) and sheets[-1].placed:
                sheets.append(_continued(group.repeat))
            sheets[-1].put(piece)
    return sheets


def _continued(repeat: Piece | None) -> Sheet:
    sheet = Sheet()
    if repeat is not None:
        sheet.put(repeat)
    return sheet


def sheet_numbers(sheets: Sequence[Sheet]) -> dict[str, int]:
    """Anchor -> the sheet it is on, from 1."""
    return {piece.anchor: number for number, sheet in enumerate(sheets, start=1) for _, piece in sheet.placed if piece.anchor}
