"""What analysis speaks of: a query, the bars it is answered from, the answer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.analysis.engine import Step
from services.analysis.indicators.kernels import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Query:
    """One analysis that was asked for; checked."""

    symbol: str
    """Ticker dot MIC."""
    interval_s: int
    """Length of the bars in seconds: 1, 60 or 86400 (a session)."""
    start_ns: int | None
    """First bar of the answer by open time, UTC ns."""
    end_ns: int | None
    """The answer's bars open before this time, UTC ns."""
    last: int
    """Only the last n bars of the range, >= 1."""
    indicators: tuple[str, ...]
    """Columns of the answer, each once."""
    origin_ns: int | None
    """Computing begins with the first bar that opens at or after this time, UTC ns; None: with the first bar kept."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Final bars of one series from its first, oldest first. Shape (n,) each, never changed once they are here."""

    ts_open: IntArray
    """UTC ns."""
    ts_close: IntArray
    """UTC ns."""
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    source_kind: NDArray[np.int32]
    """signalbox.market.v1.SourceKind."""

    def __len__(self) -> int:
        return len(self.ts_open)


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """The answer to a query: rows `start` to before `stop` of what was computed."""

    query: Query
    history: History
    """The bars that were computed on; bar i has row i of the step."""
    step: Step
    start: int
    stop: int
