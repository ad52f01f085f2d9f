"""Source `stocks`: the recorded daily bars that the demonstration replays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from signalbox.events.v1 import tick_batch_pb2

from services.prices.feeds import stocks_file
from services.prices.feeds.replay_stocks import ReplayStocks
from services.prices.instruments import instrument_of
from services.prices.jobs.table import BarTable, SourceFailed
from services.prices.sessions import SessionTable
from services.runtime.clock import SystemClock

_DAY_S = 86_400


class RecordedStocks:
    """Never ahead of the replay: of what is still to be played, nothing is given. Raises DataMissing, DataUnreadable."""

    def __init__(self, sessions: SessionTable, path: Path | None = None) -> None:
        self._bars, _bad = stocks_file.load(path or stocks_file.locate(), sessions)
        self._live_from_ns = int(self._bars.ts_open[ReplayStocks(self._bars, 1.0, SystemClock()).live_row])

    def symbols(self) -> Sequence[str]:
        """All that the file has."""
        return self._bars.symbols

    async def bars(self, symbol: str, interval_s: int, start_ns: int, end_ns: int, stored_until_ns: int) -> BarTable:
        """As HistorySource says."""
        if symbol not in self._bars.symbols:
            raise SourceFailed(f"expected one of {', '.join(self._bars.symbols)}, was {symbol}")
        if interval_s != _DAY_S:
            raise SourceFailed("it has daily bars only")
        played_ns = max(self._live_from_ns, stored_until_ns + 1)
        bars = self._bars
        wanted = (bars.symbol == bars.symbols.index(symbol)) & (bars.ts_open >= start_ns) & (bars.ts_open < min(end_ns, played_ns))
        columns = (bars.ts_open, bars.ts_close, bars.open, bars.high, bars.low, bars.close, bars.volume)
        rows = np.column_stack([column[wanted] for column in columns])
        return BarTable(instrument_of(symbol), interval_s, rows, tick_batch_pb2.SOURCE_KIND_REPLAY)
