"""A chart as a list of strokes, drawn once for the page (`svg.py`) and once for paper (`pdf_charts.py`).

Coordinates are whole units: UNITS_PER_SLOT to a bar across, about two to a pixel down. Across and down are stretched apart, so lines keep their width and
letters their shape only because both renderers draw them unstretched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.reports.daily.model import FloatArray

Units = NDArray[np.int64]

#: Units across that one bar takes: enough that bodies have a middle and a gap beside them.
UNITS_PER_SLOT = 8


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Upright strokes."""

    x: Units
    top: Units
    bottom: Units
    tone: str


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A polyline; NaN in `y` interrupts it."""

    x: Units
    y: FloatArray
    tone: str


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """What lies between two polylines without NaN."""

    x: Units
    upper: Units
    lower: Units
    tone: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across the whole drawing at `y`."""

    y: int
    tone: str


@dataclass(frozen=True, slots=True)
class Label:
    """A short text. `place`: `right` of the drawing at `y`, `below` it at `x`, or `inside` with its left end at (x, y)."""

    x: int
    y: int
    text: str
    place: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A triangle that points `up` from under (x, y) or `down` from above it. A `strong` one is of the day."""

    x: int
    y: int
    direction: str
    strong: bool
    title: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a chart is made of, lowest first."""

    width: int
    height: int
    shapes: tuple[Bars | Line | Area | Rule, ...]
    labels: tuple[Label, ...]
    marks: tuple[Mark, ...]
    title: str
    """What it shows, for those who hear it."""


@dataclass(frozen=True, slots=True)
class Pane:
    """Part of a drawing with an upright scale of its own."""

    top: int
    bottom: int
    low: float
    high: float

    def floats(self, values: FloatArray) -> FloatArray:
        """Positions of values, not rounded away from NaN; what lies outside the scale is put on its border."""
        inside = np.clip(values, self.low, self.high)
        return np.round(self.bottom - (inside - self.low) / (self.high - self.low) * (self.bottom - self.top))

    def units(self, values: FloatArray) -> Units:
        """Positions of finite values."""
        return self.floats(values).astype(np.int64)

    def unit(self, value: float) -> int:
        """Position of one value."""
        return int(self.floats(np.array([value]))[0])


def spread(low: float, high: float, margin: float) -> tuple[float, float]:
    """A scale from `low` to `high` with a margin, a share of the distance; never of no height."""
    distance = high - low
    if distance <= 0:
        distance = abs(high) * 0.02 or 1.0
    return low - distance * margin, high + distance * margin


def round_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) within a scale, about `wanted` of them, at least one."""
    raw = (high - low) / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """A tick with the digits that tell it from its neighbours."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if digits and abs(step * 10**digits - round(step * 10**digits)) > 1e-6:
        digits += 1
    return f"{value:,.{digits}f}".replace("-", "\u2212")
