"""Scenes as inline SVG: two layers, one stretched to the room there is, one of letters and marks that are not.

Strokes are one path for each tone, with relative whole numbers, so that a chart of 120 sessions stays under 10 KB.
"""

from __future__ import annotations

from html import escape
from itertools import groupby, pairwise

import numpy as np

from services.reports.daily.render.scene import Area, Bars, Drawing, Label, Line, Mark, Rule

_CLASSES = {"up": "u", "down": "d", "wick": "w", "body": "b", "volume": "v", "column": "c"}


def chart_svg(drawing: Drawing) -> str:
    """The whole chart as markup; colours and stroke widths are the page's style sheet's."""
    plot = f'<svg class="pl" viewBox="0 0 {drawing.width} {drawing.height}" preserveAspectRatio="none" aria-hidden="true">{_shapes(drawing)}</svg>'
    over = "".join(_label(label, drawing) for label in drawing.labels) + "".join(_mark(mark, drawing) for mark in drawing.marks)
    return f'{plot}<svg class="ax" role="img" aria-label="{escape(drawing.title)}">{over}</svg>'


def spark_svg(drawing: Drawing) -> str:
    """One line without labels."""
    return f'<svg class="sp" viewBox="0 0 {drawing.width} {drawing.height}" preserveAspectRatio="none" aria-hidden="true">{_shapes(drawing)}</svg>'


def _class(tone: str) -> str:
    return " ".join(_CLASSES.get(word, word) for word in tone.split())


def _shapes(drawing: Drawing) -> str:
    """One path for each tone, neighbours of a tone together."""
    out: list[str] = []
    for tone, shapes in groupby(drawing.shapes, key=lambda shape: shape.tone):
        path = "".join(_path(shape, drawing) for shape in shapes)
        if path:
            out.append(f'<path class="{_class(tone)}" d="{path}"/>')
    return "".join(out)


def _path(shape: Bars | Line | Area | Rule, drawing: Drawing) -> str:
    if isinstance(shape, Bars):
        return _strokes(shape.x.tolist(), shape.top.tolist(), shape.bottom.tolist())
    if isinstance(shape, Rule):
        return f"M0 {shape.y}h{drawing.width}"
    if isinstance(shape, Area):
        x = [*shape.x.tolist(), *shape.x[::-1].tolist()]
        y = [*shape.upper.tolist(), *shape.lower[::-1].tolist()]
        return _run(x, y) + "z"
    return "".join(_run(x, y) for x, y in runs(shape))


def _strokes(x: list[int], top: list[int], bottom: list[int]) -> str:
    """Each stroke begins where it lies from the end of the one before."""
    across, down = 0, 0
    out: list[str] = []
    for at, first, last in zip(x, top, bottom, strict=True):
        out.append(f"{'M' if not out else 'm'}{at - across} {first - down}v{last - first}")
        across, down = at, last
    return "".join(out).replace(" -", "-")


def runs(line: Line) -> list[tuple[list[int], list[int]]]:
    """A line's unbroken parts of at least two points."""
    known = np.isfinite(line.y)
    borders = np.flatnonzero(np.diff(np.concatenate(([False], known, [False]))))
    parts = []
    for first, end in zip(borders[::2].tolist(), borders[1::2].tolist(), strict=True):
        if end - first > 1:
            parts.append((line.x[first:end].tolist(), line.y[first:end].astype(np.int64).tolist()))
    return parts


def _run(x: list[int], y: list[int]) -> str:
    """A polyline."""
    steps = " ".join(f"{after_x - before_x} {after_y - before_y}" for (before_x, before_y), (after_x, after_y) in pairwise(zip(x, y, strict=True)))
    return f"M{x[0]} {y[0]}l{steps}".replace(" -", "-")


def _percent(value: int, whole: int) -> str:
    return f"{value / whole * 100:.1f}".removesuffix(".0") + "%"


def _label(label: Label, drawing: Drawing) -> str:
    x, y = _percent(label.x, drawing.width), _percent(label.y, drawing.height)
    text = escape(label.text)
    tone = f" {label.tone}" if label.tone else ""
    if label.place == "right":
        return f'<text class="r{tone}" x="100%" y="{y}" dx="6">{text}</text>'
    if label.place == "below":
        return f'<text class="m{tone}" x="{x}" y="100%" dy="1.25em">{text}</text>'
    return f'<text class="i{tone}" x="{x}" y="{y}" dx="1">{text}</text>'


def _mark(mark: Mark, drawing: Drawing) -> str:
    name = ("mu" if mark.direction == "up" else "md") + ("s" if mark.strong else "")
    x, y = _percent(mark.x, drawing.width), _percent(mark.y, drawing.height)
    return f'<use href="#{name}" x="{x}" y="{y}"><title>{escape(mark.title)}</title></use>'
