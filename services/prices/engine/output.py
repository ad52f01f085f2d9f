"""The engine's records as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.prices.engine.layout import Records
from services.runtime.columns import INTERVALS, BarColumns, InstrumentRef, LateColumns, TickColumns

_SECONDS = np.array(INTERVALS, np.uint32)
_SAME_NAMES = ("ts_open", "ts_close", "open", "high", "low", "close", "volume", "vwap", "trade_count")


def bar_columns(out: Records, instruments: Sequence[InstrumentRef], rank: NDArray[np.int64], *, live: bool) -> BarColumns:
    """Bars sorted by symbol, interval, ts_open, whatever the order in which symbols became known.

    rank: position of each instrument's symbol among all symbols, shape (instruments,). live: with `ts_recv`.
    """
    out = out[np.lexsort((out["ts_open"], out["interval"], rank[out["symbol"]]))]
    symbol = out["symbol"]
    first = np.empty(len(out), np.bool_)
    first[0] = True
    np.not_equal(symbol[1:], symbol[:-1], out=first[1:])
    columns: dict[str, Any] = {name: out[name].copy() for name in _SAME_NAMES}
    return BarColumns(
        instruments=tuple([instruments[number] for number in symbol[first].tolist()]),
        instrument=(np.add.accumulate(first, dtype=np.int64) - 1).astype(np.uint32),
        interval=_SECONDS[out["interval"]],
        **columns,
        revision=np.zeros(len(out), np.uint32),
        source_kind=out["kind"].astype(np.int32),
        replay_shift=out["shift"].copy(),
        ts_recv=out["recv"].copy() if live else np.empty(0, np.int64),
    )


def late_ticks(rows: Records, reason: int, instruments: Sequence[InstrumentRef], sources: Sequence[str]) -> list[LateColumns]:
    """Pending rows as batches, one for each source, kind and shift, in the order of (source name, shift, kind), rows by symbol and time."""
    batches = sorted({(sources[row["source"]], int(row["shift"]), int(row["kind"]), int(row["source"])) for row in rows})
    return [_late_batch(rows, reason, instruments, batch) for batch in batches]


def _late_batch(rows: Records, reason: int, instruments: Sequence[InstrumentRef], batch: tuple[str, int, int, int]) -> LateColumns:
    name, shift, kind, source = batch
    rows = rows[(rows["source"] == source) & (rows["shift"] == shift) & (rows["kind"] == kind)]
    used, instrument = _by_symbol(rows["symbol"], instruments)
    order = np.lexsort((rows["arrival"], rows["seq"], rows["ts"], instrument))
    rows = rows[order]
    ticks = TickColumns(
        source=name,
        source_kind=kind,
        instruments=used,
        instrument=instrument[order],
        ts_event=rows["ts"].copy(),
        ts_recv=rows["recv"].copy(),
        price=rows["price"].copy(),
        size=rows["size"].copy(),
        seq=rows["seq"].copy(),
        replay_shift=shift,
    )
    return LateColumns(ticks, np.full(len(rows), reason, np.int32))


def _by_symbol(numbers: NDArray[np.int32], instruments: Sequence[InstrumentRef]) -> tuple[tuple[InstrumentRef, ...], NDArray[np.uint32]]:
    """The instruments that occur, sorted by symbol, and for each row its position among them."""
    used = sorted(set(numbers.tolist()), key=lambda number: instruments[number].symbol)
    position = np.zeros(len(instruments), np.uint32)
    position[used] = np.arange(len(used))
    return tuple(instruments[number] for number in used), position[numbers]
