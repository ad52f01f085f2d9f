"""Bars as the engine has them into records."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from signalbox.events.v1.bar_batch_pb2 import BarBatch

from services.prices.bars import BarEngine
from services.prices.engine.layout import Records
from services.prices.engine.output import LaidOut, bar_columns
from services.runtime.columns import encode_bars, instrument_entry
from services.runtime.engine_choice import PLAIN
from services.runtime.wire_codec import FINAL_BARS, LIVE_BARS, ColumnWriter

#: Rows in one record: at about 100 bytes each, well below the broker's limit of 1 MiB.
MAX_ROWS = 4096


class BarRecords(NamedTuple):
    """Serialised BarBatches."""

    values: list[bytes]
    by_interval: list[int]
    """Bars of each of INTERVALS."""


class BarWriter:
    """Writes the bars of one engine."""

    def __init__(self, engine: BarEngine) -> None:
        self._engine = engine
        self._columns = ColumnWriter()
        self._entries: list[bytes] = []

    def write(self, bars: Records, *, live: bool) -> BarRecords:
        """bars: what the engine gave last, not empty. live: with the time of reception. Raises BadRecord for bars that no record may hold."""
        laid = self._engine.laid_out(bars)
        # Compiled for what is usual; anything else as everybody does it.
        usual = laid.in_range and len(bars) <= MAX_ROWS and not PLAIN
        return BarRecords([self._compiled(laid, len(bars), live=live)] if usual else self._plain(laid, live=live), laid.by_interval)

    def _compiled(self, laid: LaidOut, rows: int, *, live: bool) -> bytes:
        entries = self._entries
        for ref in self._engine.instruments[len(entries) :]:
            entries.append(instrument_entry(BarBatch, ref))
        table = [entries[number] for number in laid.symbols]
        return b"".join([*table, self._columns.write(LIVE_BARS if live else FINAL_BARS, rows, laid.wide, laid.small)])

    def _plain(self, laid: LaidOut, *, live: bool) -> list[bytes]:
        bars = bar_columns(laid, self._engine.instruments, live=live)
        return [encode_bars(bars if len(bars) <= MAX_ROWS else bars.take(rows)) for rows in slices(len(bars))]


def slices(rows: int) -> list[NDArray[np.int64]]:
    """Numbers of the rows of each record."""
    return [np.arange(start, min(start + MAX_ROWS, rows)) for start in range(0, rows, MAX_ROWS)]
