"""Which recorded batches have rows in the bars that a later batch closes: links of its span, for a span has one parent only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from opentelemetry.trace import SpanContext

from services.runtime.columns import BarColumns, InstrumentRef, TickColumns
from services.runtime.telemetry import recorded_span

#: Links of one span, at most; the newest batches count.
MAX_LINKS = 8
#: Recorded batches that are remembered. With one trace in a hundred they reach back some minutes.
_REMEMBERED = 64
_SECOND_NS = 1_000_000_000
#: A symbol's part in a key, above its seconds: times in int64 nanoseconds have fewer than 2**34 of them.
_SYMBOL_SHIFT = 34

Keys = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Batch:
    span: SpanContext
    keys: Keys
    """Symbol and second of its rows, sorted. Bars begin and end at whole seconds, so nothing is guessed."""


class BarLinks:
    """Of one partition. Not part of its state: links are no output, and after a restart the first bars have fewer."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque(maxlen=_REMEMBERED)
        self._numbers: dict[str, int] = {}

    def note(self, ticks: TickColumns, bars: BarColumns | None) -> None:
        """Describes the current span, if it is recorded: what the batch held, what it closed, and which batches had a part in that."""
        span = recorded_span()
        if span is None:
            return
        closed = 0 if bars is None else len(bars)
        span.set_attributes({"signalbox.rows": len(ticks), "signalbox.symbols": len(ticks.instruments), "signalbox.bars": closed})
        if bars is not None:
            for context in islice(self._parts_of(bars), MAX_LINKS):
                span.add_link(context)
        if len(ticks):
            keys = np.unique(self._keys(ticks.instruments, ticks.instrument, ticks.ts_event))
            self._batches.append(_Batch(span.get_span_context(), keys))

    def _parts_of(self, bars: BarColumns) -> Iterator[SpanContext]:
        first, end = (self._keys(bars.instruments, bars.instrument, times) for times in (bars.ts_open, bars.ts_close))
        for batch in reversed(self._batches):
            if np.any(batch.keys.searchsorted(end) > batch.keys.searchsorted(first)):
                yield batch.span

    def _keys(self, instruments: Sequence[InstrumentRef], instrument: NDArray[np.uint32], times: NDArray[np.int64]) -> Keys:
        numbers = [self._numbers.setdefault(reference.symbol, len(self._numbers)) for reference in instruments]
        keys: Keys = (np.array(numbers, np.int64) << _SYMBOL_SHIFT)[instrument] + times // _SECOND_NS
        return keys
