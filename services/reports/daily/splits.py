"""Suspected splits: the bars that we are given are not adjusted, and figures over a split would be wrong without a word.

A session is suspected when its open stands to the close before as one small whole number to another, within 3 % (3:2 within 2 %), which ordinary
gaps seldom do: of AAPL's recorded years this finds the splits of 2000 and 2005 and not the fall by half of 2000-09-29.
"""

from __future__ import annotations

import numpy as np

from services.reports.daily.model import FloatArray, IntArray, SuspectedSplit
from services.reports.daily.sessions import day_text

#: Close before by open, its name, and how far off it may be.
_RATIOS: tuple[tuple[float, str, float], ...] = (
    (1.5, "3:2", 0.02),
    *((float(many), f"{many}:1", 0.03) for many in (2, 3, 4, 5, 7, 10, 20)),
    *((1.0 / many, f"1:{many}", 0.03) for many in (2, 3, 4, 5, 8, 10, 20)),
)
#: Below this a move is never a split.
_LEAST = 1.4


def suspected_splits(days: IntArray, opens: FloatArray, closes: FloatArray) -> tuple[tuple[int, SuspectedSplit], ...]:
    """Bars that opened after a suspected split, with what is suspected, oldest first. Shape (n,) each."""
    if len(closes) < 2:
        return ()
    ratio = closes[:-1] / opens[1:]
    candidates = np.flatnonzero((ratio >= _LEAST) | (ratio <= 1.0 / _LEAST))
    found = []
    for at in candidates.tolist():
        label = _label(float(ratio[at]))
        if label:
            found.append((at + 1, SuspectedSplit(day_text(int(days[at + 1])), float(ratio[at]), label)))
    return tuple(found)


def _label(ratio: float) -> str:
    return next((label for value, label, tolerance in _RATIOS if abs(ratio / value - 1.0) <= tolerance), "")
