"""Scenes on paper: the same strokes as in the page's SVG, as PDF paths."""

from __future__ import annotations

import numpy as np

from services.reports.daily.render.paper import HEIGHT, MEDIUM, REGULAR, Box, Paper, Type
from services.reports.daily.render.scene import UNITS_PER_SLOT, Area, Bars, Drawing, Line, Rule
from services.reports.daily.render.svg import runs

#: Tone -> colour and width in points. The widths of bodies and columns follow from their slot.
_STROKES = {
    "grid": ("grid", 0.4),
    "guide": ("guide", 0.4),
    "base": ("strong", 0.5),
    "average": ("muted", 0.5),
    "sma20": ("sma20", 0.7),
    "sma50": ("sma50", 0.7),
    "sma200": ("sma200", 0.7),
    "rsi": ("sma200", 0.7),
    "macd": ("sma20", 0.7),
    "macdsignal": ("sma50", 0.7),
    "spark": ("soft", 0.6),
}
_LABEL = Type(6.5, "muted", REGULAR)
_INSIDE = Type(6.5, "soft", REGULAR)
_WARNING = Type(6.5, "warn", MEDIUM)
_LAST = Type(6.8, "text", MEDIUM)


class _Frame:
    """Where a drawing's units lie on the sheet, in the PDF's coordinates."""

    def __init__(self, drawing: Drawing, box: Box) -> None:
        self.left, self.across = box.x, box.width / drawing.width
        self.upper, self.down = HEIGHT - box.top, box.height / drawing.height

    def x(self, units: float) -> float:
        return self.left + units * self.across

    def y(self, units: float) -> float:
        return self.upper - units * self.down


def draw_chart(paper: Paper, drawing: Drawing, box: Box) -> None:
    """The drawing in a box; labels right of it and below it need room of their own."""
    frame = _Frame(drawing, box)
    for shape in drawing.shapes:
        _draw_shape(paper, shape, frame, drawing)
    for mark in drawing.marks:
        size = 5.2 if mark.strong else 2.8
        paper.triangle(frame.x(mark.x), HEIGHT - frame.y(mark.y), mark.direction, size, mark.direction if mark.strong else f"{mark.direction}-pale")
    for label in drawing.labels:
        base = HEIGHT - frame.y(label.y)
        if label.place == "right":
            paper.text(box.x + box.width + 4, base + 2.3, label.text, _LAST if label.tone == "last" else _LABEL)
        elif label.place == "below":
            paper.text(frame.x(label.x), box.top + box.height + 8.5, label.text, _LABEL, "middle")
        else:
            paper.text(frame.x(label.x) + 1.5, base, label.text, _WARNING if label.tone == "warn" else _INSIDE)


def _draw_shape(paper: Paper, shape: Bars | Line | Area | Rule, frame: _Frame, drawing: Drawing) -> None:
    if isinstance(shape, Bars):
        _draw_bars(paper, shape, frame)
    elif isinstance(shape, Rule):
        colour, width = _STROKES[shape.tone]
        y = frame.y(shape.y)
        paper.path(f"{frame.x(0):.2f} {y:.2f} m {frame.x(drawing.width):.2f} {y:.2f} l", colour, width, dashed=shape.tone == "guide")
    elif isinstance(shape, Area):
        x = np.concatenate([shape.x, shape.x[::-1]]).tolist()
        outline = _run(x, np.concatenate([shape.upper, shape.lower[::-1]]).tolist(), frame)
        paper.path(f"{outline} h", shape.tone, 0.0, filled=True)
        paper.path(_run(shape.x.tolist(), shape.upper.tolist(), frame), f"{shape.tone}-line", 0.5)
        paper.path(_run(shape.x.tolist(), shape.lower.tolist(), frame), f"{shape.tone}-line", 0.5)
    else:
        parts = " ".join(_run(x, y, frame) for x, y in runs(shape))
        if parts:
            paper.path(parts, *_STROKES[shape.tone])


def _draw_bars(paper: Paper, bars: Bars, frame: _Frame) -> None:
    kind, _, way = bars.tone.partition(" ")
    slot = UNITS_PER_SLOT * frame.across
    width = {"wick": 0.45, "body": slot * 0.68, "volume": slot * 0.68, "column": 16 * frame.across, "split": 0.7}[kind]
    strokes = " ".join(
        f"{frame.x(x):.2f} {frame.y(top):.2f} m {frame.x(x):.2f} {frame.y(bottom):.2f} l"
        for x, top, bottom in zip(bars.x.tolist(), bars.top.tolist(), bars.bottom.tolist(), strict=True)
    )
    if strokes:
        colour = "warn" if kind == "split" else f"{way}-pale" if kind == "volume" else way
        paper.path(strokes, colour, width, dashed=kind == "split")


def _run(x: list[int], y: list[int], frame: _Frame) -> str:
    points = [f"{frame.x(across):.2f} {frame.y(down):.2f}" for across, down in zip(x, y, strict=True)]
    return f"{points[0]} m " + "".join(f"{point} l " for point in points[1:])
