"""Bars that may lack ticks, because the records that held them are gone.

Retention removes the oldest records of a log. A state that begins behind such a cut (no checkpoint counts, or the layout of states has changed) never saw
what was before it: the first bars of each lane would be short, and they were published whole when their ticks were still there. So they are left out.

A lane's rows come at most the lateness bound behind its highest one, so what was cut away is no later than the lane's first row plus that bound; while a
lane has no row, all that its source asserts may lack some. Which lanes begin at the cut and which are new is told by the log's end when the state began: one
that comes later has lost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from services.prices.engine.layout import Ints, Records
from services.runtime.columns import InstrumentRef


class CutInput:
    """What one partition's state knows of a cut; part of that state."""

    def __init__(self) -> None:
        self._end = 0
        self._seen: dict[str, set[str]] = {}
        self._whole_after: dict[str, int] = {}
        self._by_number: Ints = np.zeros(0, np.int64)

    def begin(self, end: int) -> None:
        """The log's first records are gone. end: of the log at this moment."""
        self._end = end

    def unseen(self, offset: int, source: str, instruments: Iterable[InstrumentRef]) -> list[str]:
        """Those of a record's symbols that may have had rows of this source before the cut, and of which none was noted yet."""
        if offset >= self._end:
            if self._end:
                self._end = 0
                self._seen.clear()
            return []
        seen = self._seen.get(source, set())
        return [ref.symbol for ref in instruments if ref.symbol not in seen]

    def note(self, source: str, symbol: str, reach: int, known: bool) -> None:
        """A record of a lane is there. reach: of the rows that may have been cut away, as BarEngine has it. known: it will not change."""
        if known:
            self._seen.setdefault(source, set()).add(symbol)
        self._whole_after[symbol] = max(reach, self._whole_after.get(symbol, 0))
        self._by_number = self._by_number[:0]

    def whole(self, bars: Records, instruments: Sequence[InstrumentRef]) -> Records:
        """The bars that have all their ticks. instruments: by number."""
        if not self._whole_after:
            return bars
        if len(self._by_number) < len(instruments):
            self._by_number = np.array([self._whole_after.get(ref.symbol, -1) for ref in instruments], np.int64)
        whole: Records = bars[bars["ts_open"] > self._by_number[bars["symbol"]]]
        return whole

    def plain(self) -> dict[str, Any] | None:
        """For the state's metadata; None when there is no cut."""
        if not self._end and not self._whole_after:
            return None
        seen = {source: sorted(symbols) for source, symbols in self._seen.items()}
        return {"end": self._end, "seen": seen, "whole_after": dict(self._whole_after)}

    def restore(self, plain: Mapping[str, Any] | None) -> None:
        """Take over what `plain` gave."""
        if plain is not None:
            self._end = plain["end"]
            self._seen = {source: set(symbols) for source, symbols in plain["seen"].items()}
            self._whole_after = dict(plain["whole_after"])
