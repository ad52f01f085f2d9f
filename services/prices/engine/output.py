"""The engine's records as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from services.prices.engine.layout import SECOND_NS, Ints, Records
from services.runtime.columns import INTERVALS, BarColumns, InstrumentRef, LateColumns, TickColumns
from services.runtime.timestamps import MAX_TIME_NS

_SECONDS = np.array(INTERVALS, np.uint32)


class LaidOut(NamedTuple):
    """Bars as columns, sorted by symbol, interval, ts_open."""

    symbols: list[int]
    """Numbers of the symbols that occur, in the order of their names."""
    wide: Ints
    """ts_open, ts_close, open, high, low, close, volume, vwap, trade_count, replay_shift, ts_recv; shape (11, rows)."""
    small: NDArray[np.uint32]
    """Position in `symbols`, interval in seconds, revision, source kind; shape (4, rows)."""
    by_interval: list[int]
    """How many there are of each of INTERVALS."""
    in_range: bool
    """Whether a record may hold all of it: see services.runtime.columns.check_bars."""


def lay_out(out: Records, rank: Ints) -> LaidOut:
    """The rows as columns, sorted by name: the order in which symbols became known does not matter. rank: of each one's name, shape (symbols,)."""
    rows = len(out)
    wide, small = np.empty((11, rows), np.int64), np.empty((4, rows), np.uint32)
    used, by_interval = np.empty(rows, np.int64), np.zeros(len(INTERVALS), np.int64)
    count, in_range = _lay_out(out, rank, _SECONDS, MAX_TIME_NS, wide, small, used, by_interval)
    return LaidOut(used[:count].tolist(), wide, small, by_interval.tolist(), in_range)


def bar_columns(laid: LaidOut, instruments: Sequence[InstrumentRef], *, live: bool) -> BarColumns:
    """The same as BarColumns. live: with `ts_recv`."""
    ts_open, ts_close, open_, high, low, close, volume, vwap, trade_count, shift, recv = laid.wide
    small = laid.small
    return BarColumns(
        instruments=tuple([instruments[number] for number in laid.symbols]),
        instrument=small[0],
        interval=small[1],
        ts_open=ts_open,
        ts_close=ts_close,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        vwap=vwap,
        trade_count=trade_count,
        revision=small[2],
        source_kind=small[3].view(np.int32),
        replay_shift=shift,
        ts_recv=recv if live else np.empty(0, np.int64),
    )


@njit(cache=True)
def _lay_out(  # noqa: PLR0917 - compiled functions have no keyword-only arguments
    out: Records, rank: Ints, seconds: NDArray[np.uint32], latest: int, wide: Ints, small: NDArray[np.uint32], used: Ints, by_interval: Ints
) -> tuple[int, bool]:
    """Writes the columns; returns how many symbols there are, written to `used`, and whether all numbers are in their range."""
    keys = np.empty(len(out), np.int64)
    for at in range(len(out)):
        row = out[at]
        # Of an interval one bar opens in a second at most, so whole seconds (33 bits) are enough for the order.
        keys[at] = ((rank[row["symbol"]] * 8 + row["interval"]) << 33) + row["ts_open"] // SECOND_NS
    order = np.argsort(keys)
    count = 0
    in_range = True
    for at in range(len(out)):
        row = out[order[at]]
        if count == 0 or used[count - 1] != row["symbol"]:
            used[count] = row["symbol"]
            count += 1
        small[0, at] = count - 1
        small[1, at] = seconds[row["interval"]]
        small[2, at] = 0
        by_interval[row["interval"]] += 1
        small[3, at] = row["kind"]
        wide[0, at] = row["ts_open"]
        wide[1, at] = row["ts_close"]
        wide[2, at] = row["open"]
        wide[3, at] = row["high"]
        wide[4, at] = row["low"]
        wide[5, at] = row["close"]
        wide[6, at] = row["volume"]
        wide[7, at] = row["vwap"]
        wide[8, at] = row["trade_count"]
        wide[9, at] = row["shift"]
        wide[10, at] = row["recv"]
        # A number is negative when its highest bit is set.
        together = row["ts_open"] | row["ts_close"] | row["open"] | row["high"] | row["low"] | row["close"] | row["volume"]
        in_range &= together >= 0 and row["ts_open"] <= latest and row["ts_close"] <= latest and row["vwap"] >= -1 and 1 <= row["kind"] <= 3
    return count, in_range


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
