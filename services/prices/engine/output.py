"""The engine's records as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from services.prices.engine.layout import SECOND_NS, Ints, Records
from services.runtime.columns import INTERVALS, BarColumns, InstrumentRef, LateColumns, TickColumns

_SECONDS = np.array(INTERVALS, np.uint32)
_NUMBERS = ("ts_open", "ts_close", "open", "high", "low", "close", "volume", "vwap", "trade_count", "shift", "recv")


def bar_columns(out: Records, instruments: Sequence[InstrumentRef], rank: NDArray[np.int64], *, live: bool) -> BarColumns:
    """Bars sorted by symbol, interval, ts_open, whatever the order in which symbols became known.

    rank: position of each instrument's symbol among all symbols, shape (instruments,). live: with `ts_recv`.
    """
    # Of an interval one bar opens in a second at most, so whole seconds (33 bits) are enough for the order.
    order = np.argsort((rank[out["symbol"]] * 8 + out["interval"]) * 2**33 + out["ts_open"] // SECOND_NS)
    numbers = np.empty((len(_NUMBERS), len(out)), np.int64)
    instrument, kind = np.empty(len(out), np.uint32), np.empty(len(out), np.int32)
    used = np.empty(len(out), np.int64)
    count = _lay_out(out, order, numbers, instrument, kind, used)
    columns: dict[str, Any] = dict(zip(_NUMBERS, numbers, strict=True))
    shift, recv = columns.pop("shift"), columns.pop("recv")
    return BarColumns(
        instruments=tuple([instruments[number] for number in used[:count].tolist()]),
        instrument=instrument,
        interval=_SECONDS[out["interval"][order]],
        **columns,
        revision=np.zeros(len(out), np.uint32),
        source_kind=kind,
        replay_shift=shift,
        ts_recv=recv if live else np.empty(0, np.int64),
    )


@njit(cache=True)
def _lay_out(  # noqa: PLR0917 - compiled functions have no keyword-only arguments
    out: Records, order: Ints, numbers: Ints, instrument: NDArray[np.uint32], kind: NDArray[np.int32], used: Ints
) -> int:
    """Rows in an order as columns, in the order of _NUMBERS; returns how many symbols there are and writes which."""
    count = 0
    for at in range(len(order)):
        row = out[order[at]]
        if count == 0 or used[count - 1] != row["symbol"]:
            used[count] = row["symbol"]
            count += 1
        instrument[at] = count - 1
        kind[at] = row["kind"]
        numbers[0, at] = row["ts_open"]
        numbers[1, at] = row["ts_close"]
        numbers[2, at] = row["open"]
        numbers[3, at] = row["high"]
        numbers[4, at] = row["low"]
        numbers[5, at] = row["close"]
        numbers[6, at] = row["volume"]
        numbers[7, at] = row["vwap"]
        numbers[8, at] = row["trade_count"]
        numbers[9, at] = row["shift"]
        numbers[10, at] = row["recv"]
    return count


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
