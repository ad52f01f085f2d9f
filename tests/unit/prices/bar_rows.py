"""Bars for tests."""

from collections.abc import Sequence

import numpy as np

from services.runtime.columns import BarColumns, InstrumentRef


def bars(
    symbol: str, interval: int, opens: Sequence[int], *, close: Sequence[int] | int = 100, revision: Sequence[int] | int = 0, digits: tuple[int, int] = (2, 0)
) -> BarColumns:
    """Bars of one series that open at `opens` seconds. close: fixed point."""
    count = len(opens)
    ts_open = np.array(opens, np.int64) * 10**9

    def column(value: Sequence[int] | int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.broadcast_to(np.array(value, np.int64), (count,)).copy()

    return BarColumns(
        instruments=(InstrumentRef(symbol, *digits),),
        instrument=np.zeros(count, np.uint32),
        interval=np.full(count, interval, np.uint32),
        ts_open=ts_open,
        ts_close=ts_open + interval * 10**9,
        open=column(100),
        high=column(110),
        low=column(90),
        close=column(close),
        volume=column(5),
        vwap=column(1_000_001),
        trade_count=column(3),
        revision=column(revision).astype(np.uint32),
        source_kind=np.full(count, 2, np.int32),
        replay_shift=column(0),
        ts_recv=np.empty(0, np.int64),
    )
