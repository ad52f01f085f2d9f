"""Which recorded batches have rows in the bars that a later batch closes: links of its span, for a span has one parent only."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from opentelemetry.trace import SpanContext

from services.runtime.columns import BarColumns, TickColumns
from services.runtime.telemetry import recorded_span

#: Links of one span, at most; the newest batches count.
MAX_LINKS = 8
#: Recorded batches that are remembered. With one trace in a hundred they reach back some minutes.
_REMEMBERED = 64
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Batch:
    span: SpanContext
    seconds: dict[str, NDArray[np.int64]]
    """By symbol: the seconds, sorted, in which it has rows. Bars begin and end at whole seconds, so nothing is guessed."""


class BarLinks:
    """Of one partition. Not part of its state: links are no output, and after a restart the first bars have fewer."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque(maxlen=_REMEMBERED)

    def note(self, ticks: TickColumns, bars: BarColumns | None) -> None:
        """Describes the current span, if it is recorded: what the batch held, what it closed, and which batches had a part in that."""
        span = recorded_span()
        if span is None:
            return
        closed = 0 if bars is None else len(bars)
        span.set_attributes({"signalbox.rows": len(ticks), "signalbox.symbols": len(ticks.instruments), "signalbox.bars": closed})
        if bars is not None:
            for context in self._parts_of(bars):
                span.add_link(context)
        if len(ticks):
            self._batches.append(_Batch(span.get_span_context(), _seconds(ticks)))

    def _parts_of(self, bars: BarColumns) -> list[SpanContext]:
        return [batch.span for batch in reversed(self._batches) if _has_part(batch, bars)][:MAX_LINKS]


def _seconds(ticks: TickColumns) -> dict[str, NDArray[np.int64]]:
    seconds = ticks.ts_event // _SECOND_NS
    return {reference.symbol: np.unique(seconds[ticks.instrument == index]) for index, reference in enumerate(ticks.instruments)}


def _has_part(batch: _Batch, bars: BarColumns) -> bool:
    for index, reference in enumerate(bars.instruments):
        seconds = batch.seconds.get(reference.symbol)
        if seconds is not None:
            of_symbol = bars.instrument == index
            first = np.searchsorted(seconds, bars.ts_open[of_symbol] // _SECOND_NS)
            end = np.searchsorted(seconds, bars.ts_close[of_symbol] // _SECOND_NS)
            if bool(np.any(end > first)):
                return True
    return False
