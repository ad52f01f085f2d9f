"""Compiled: rows of a batch into the pending lists, and the watermarks.

Rows hang in one list per symbol, in the order (ts, source name, seq, arrival) as long as they come in that order, which is the usual case and costs a
constant per row. A list that got a row out of order, or perhaps one it holds already, is put in order at the end of the batch.
"""

# Compiled functions have no keyword-only arguments.
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from services.prices.engine.layout import INT64_MAX, NONE, SECOND_NS, Ints, Records, Rows, State
from services.prices.sessions import LONGEST_SESSION_NS
from services.runtime.timestamps import MAX_TIME_NS

#: Vwap has four digits more than a price and must fit an int64.
MAX_PRICE = INT64_MAX // 10_000
#: How far a tick may be ahead of our clock when it reaches us.
FUTURE_NS = 5 * SECOND_NS

#: As in LateReason.
BAR_FINAL, FUTURE, NOT_POSITIVE, OUT_OF_RANGE = 1, 2, 3, 4
#: As in SourceKind.
REPLAY = 2
#: Bits of a lane's number, below those of its symbol's.
LANE_BITS = 32
LANE_MASK = (1 << LANE_BITS) - 1
#: Bits of a symbol's `disorder`: its list is not in order; it may hold a row twice.
UNSORTED, REPEATED = 1, 2


@njit(cache=True)
def ingest(rows: Rows, source: int, kind: int, shift: int, numbers: Ints, lateness: int, state: State, reasons: NDArray[np.int32]) -> int:
    """Take the rows of one batch one by one. Writes each row's LateReason, 0 = taken, and returns how many were not taken.

    numbers: of symbol and lane of each instrument of the batch, in one integer: LANE_BITS. lateness: ns. The pool needs as many free rows as the batch has.
    """
    others = np.empty(len(numbers), np.int64)
    for j in range(len(others)):
        others[j] = _least_watermark(state.symbols[numbers[j] >> LANE_BITS]["lane"], source, state, lateness)
    # Arrays are counted references: handing them to a function for each row would cost more than the work. Records are not.
    symbols, lanes, pending, sources, control = state.symbols, state.lanes, state.pending, state.sources, state.control[0]
    asserted = sources[source]["asserted"]
    earliest, end = _usable_times(shift)
    refused = 0
    for r in range(len(rows.instrument)):
        ts = rows.ts_event[r]
        reason = _why_unusable(ts, rows.ts_recv[r], rows.price[r], rows.size[r], kind, earliest, end)
        if reason == 0:
            j = rows.instrument[r]
            number = numbers[j] >> LANE_BITS
            symbol, lane = symbols[number], lanes[numbers[j] & LANE_MASK]
            if symbol["touched"] == 0:
                _touch(symbol, number, control, state.touched)
            if lane["open"] == 0:
                lane["open"] = 1
                _raise_watermark(symbol, min(others[j], max(lane["max_ts"] - lateness, asserted)))
            if (ts // SECOND_NS + 1) * SECOND_NS <= symbol["watermark"]:
                reason = BAR_FINAL
            else:
                slot = control["free"]
                row = pending[slot]
                _take(row, control, number, source, kind, shift)
                row["ts"] = ts
                row["recv"] = rows.ts_recv[r]
                row["price"] = rows.price[r]
                row["size"] = rows.size[r]
                row["seq"] = rows.seq[r]
                row["mark"] = symbol["watermark"]
                if symbol["rows"] == 0:
                    symbol["head"] = slot
                    lane["max_seq"] = 0
                else:
                    tail = pending[symbol["tail"]]
                    tail["next"] = slot
                    symbol["disorder"] |= _disorder(row, tail, lane, sources)
                _count(symbol, lane, row, slot)
                if symbol["traded"] == 0 or not _before(row, symbol, sources):
                    _note_last(symbol, row)
            if ts > lane["max_ts"]:
                lane["max_ts"] = ts
                _raise_watermark(symbol, min(others[j], max(ts - lateness, asserted)))
        reasons[r] = reason
        refused += reason != 0
    _put_lists_in_order(state)
    return refused


@njit(cache=True)
def assert_watermark(source: int, watermark: int, ended: bool, numbers: Ints, lateness: int, state: State) -> None:
    """Apply a source's own watermark, and its end, to all its symbols. Lanes of the instruments it names are opened.

    What a source that ends has said of time is kept with its symbols; nothing else of it counts any more.
    """
    state.sources[source]["asserted"] = max(state.sources[source]["asserted"], watermark)
    for j in range(len(numbers)):
        state.lanes[numbers[j] & LANE_MASK]["open"] = 1
    for number in range(state.control[0]["lanes"]):
        lane = state.lanes[number]
        if lane["source"] == source and lane["open"] != 0:
            symbol = state.symbols[lane["symbol"]]
            if ended:
                symbol["ended"] = max(symbol["ended"], _lane_watermark(lane, state, lateness))
                lane["open"] = 0
                lane["max_ts"] = NONE
            if symbol["touched"] == 0:
                _touch(symbol, lane["symbol"], state.control[0], state.touched)
            _raise_watermark(symbol, _symbol_watermark(symbol, state, lateness))
    if ended:
        state.sources[source]["asserted"] = 0


@njit(cache=True)
def free_slots(first: int, end: int, state: State) -> None:
    """Add slots of the pool to the free list."""
    for slot in range(end - 1, first - 1, -1):
        _free(slot, state)


@njit(cache=True)
def _usable_times(shift: int) -> tuple[int, int]:
    """The least event time of rows with this shift, and the end: such that they, when they happened, and their sessions are times."""
    if shift == 0:
        return 0, MAX_TIME_NS
    earliest, end = LONGEST_SESSION_NS, MAX_TIME_NS - LONGEST_SESSION_NS
    # The sum must not be made of a positive shift: it may not fit.
    return (max(earliest, shift), end) if shift > 0 else (earliest, min(end, MAX_TIME_NS + shift))


@njit(cache=True)
def _why_unusable(ts: int, recv: int, price: int, size: int, kind: int, earliest: int, end: int) -> int:
    if price <= 0 or size <= 0:
        return NOT_POSITIVE
    if ts < earliest or ts >= end or price > MAX_PRICE:
        return OUT_OF_RANGE
    if kind != REPLAY and ts - FUTURE_NS > recv:
        return FUTURE
    return 0


@njit(cache=True)
def _touch(symbol: Any, number: int, control: Any, touched: NDArray[np.int32]) -> None:
    symbol["touched"] = 1
    touched[control["touched"]] = number
    control["touched"] += 1


@njit(cache=True)
def _raise_watermark(symbol: Any, watermark: int) -> None:
    if watermark > symbol["watermark"]:
        symbol["watermark"] = watermark
        symbol["snapshot_changed"] = 1


@njit(cache=True)
def _lane_watermark(lane: Any, state: State, lateness: int) -> Any:
    return max(lane["max_ts"] - lateness, state.sources[lane["source"]]["asserted"])


@njit(cache=True)
def _least_watermark(first: int, without: int, state: State, lateness: int) -> int:
    """Least watermark of a symbol's open lanes but those of one source; INT64_MAX when there is none."""
    least = INT64_MAX
    number = first
    while number != NONE:
        lane = state.lanes[number]
        if lane["open"] != 0 and lane["source"] != without:
            least = min(least, _lane_watermark(lane, state, lateness))
        number = lane["next"]
    return least


@njit(cache=True)
def _symbol_watermark(symbol: Any, state: State, lateness: int) -> Any:
    """Least watermark of the open lanes. When all sources have ended none holds back any longer: the largest of them."""
    least = _least_watermark(symbol["lane"], NONE, state, lateness)
    return least if least < INT64_MAX else symbol["ended"]


@njit(cache=True)
def _take(row: Any, control: Any, symbol: int, source: int, kind: int, shift: int) -> None:
    """Take a row from the head of the free list, at the end of no list yet."""
    control["free"] = row["next"]
    control["free_rows"] -= 1
    row["next"] = NONE
    row["arrival"] = control["arrival"]
    control["arrival"] += 1
    row["symbol"] = symbol
    row["source"] = source
    row["kind"] = kind
    row["shift"] = shift


@njit(cache=True)
def _free(slot: int, state: State) -> None:
    state.pending[slot]["next"] = state.control[0]["free"]
    state.control[0]["free"] = slot
    state.control[0]["free_rows"] += 1


@njit(cache=True)
def _disorder(row: Any, tail: Any, lane: Any, sources: Records) -> int:
    """What may be wrong with a list whose last row was `tail` and now is `row`."""
    disorder = UNSORTED if _before(row, tail, sources) else 0
    if row["seq"] > 0 and (row["seq"] <= lane["max_seq"] or row["shift"] != lane["seq_shift"]):
        disorder |= REPEATED
    return disorder


@njit(cache=True)
def _count(symbol: Any, lane: Any, row: Any, slot: int) -> None:
    lane["max_seq"] = max(lane["max_seq"], row["seq"])
    lane["seq_shift"] = row["shift"]
    symbol["tail"] = slot
    symbol["rows"] += 1
    symbol["live_changed"] = 1
    symbol["dirty_from"] = min(symbol["dirty_from"], row["ts"])


@njit(cache=True)
def _note_last(symbol: Any, row: Any) -> None:
    symbol["traded"] = 1
    symbol["snapshot_changed"] = 1
    symbol["ts"] = row["ts"]
    symbol["recv"] = row["recv"]
    symbol["price"] = row["price"]
    symbol["size"] = row["size"]
    symbol["seq"] = row["seq"]
    symbol["arrival"] = row["arrival"]
    symbol["shift"] = row["shift"]
    symbol["source"] = row["source"]
    symbol["kind"] = row["kind"]


@njit(cache=True)
def _before(a: Any, b: Any, sources: Records) -> bool:
    """The order of ticks: time, name of the source, seq; arrival decides only where there is no seq."""
    if a["ts"] != b["ts"]:
        return bool(a["ts"] < b["ts"])
    if a["source"] != b["source"]:
        return bool(sources[a["source"]]["rank"] < sources[b["source"]]["rank"])
    if a["seq"] != b["seq"]:
        return bool(a["seq"] < b["seq"])
    return bool(a["arrival"] < b["arrival"])


@njit(cache=True)
def _identity_before(a: Any, b: Any) -> bool:
    if a["source"] != b["source"]:
        return bool(a["source"] < b["source"])
    if a["shift"] != b["shift"]:
        return bool(a["shift"] < b["shift"])
    if a["seq"] != b["seq"]:
        return bool(a["seq"] < b["seq"])
    return bool(a["arrival"] < b["arrival"])


@njit(cache=True)
def _put_lists_in_order(state: State) -> None:
    for at in range(state.control[0]["touched"]):
        symbol = state.symbols[state.touched[at]]
        if symbol["disorder"] != 0:
            _put_in_order(symbol, state)
            # Rows may lie between those that are folded now.
            state.folded[state.touched[at]]["slot"] = NONE


@njit(cache=True)
def _put_in_order(symbol: Any, state: State) -> None:
    """Sort a symbol's list and drop rows that it holds twice, all but the first to arrive."""
    slots = np.empty(symbol["rows"], np.int32)
    slot = symbol["head"]
    for at in range(len(slots)):
        slots[at] = slot
        slot = state.pending[slot]["next"]
    if symbol["disorder"] & REPEATED:
        slots = _without_duplicates(_sort(slots, True, state), state)
        _find_largest_seq(symbol["lane"], slots, state)
    slots = _sort(slots, False, state)
    for at in range(len(slots) - 1):
        state.pending[slots[at]]["next"] = slots[at + 1]
    state.pending[slots[-1]]["next"] = NONE
    symbol["head"] = slots[0]
    symbol["tail"] = slots[-1]
    symbol["rows"] = len(slots)
    symbol["disorder"] = 0


@njit(cache=True)
def _sort(slots: NDArray[np.int32], by_identity: bool, state: State) -> NDArray[np.int32]:
    """Merge sort, bottom up: n log n whatever order the rows came in."""
    other = np.empty_like(slots)
    width = 1
    while width < len(slots):
        for low in range(0, len(slots), 2 * width):
            _merge_runs(slots, other, low, width, by_identity, state)
        slots, other = other, slots
        width *= 2
    return slots


@njit(cache=True)
def _merge_runs(slots: NDArray[np.int32], other: NDArray[np.int32], low: int, width: int, by_identity: bool, state: State) -> None:
    middle, high = min(low + width, len(slots)), min(low + 2 * width, len(slots))
    left, right = low, middle
    for at in range(low, high):
        take_right = left >= middle
        if left < middle and right < high:
            a, b = state.pending[slots[right]], state.pending[slots[left]]
            take_right = _identity_before(a, b) if by_identity else _before(a, b, state.sources)
        if take_right:
            other[at] = slots[right]
            right += 1
        else:
            other[at] = slots[left]
            left += 1


@njit(cache=True)
def _without_duplicates(slots: NDArray[np.int32], state: State) -> NDArray[np.int32]:
    kept = 1
    for at in range(1, len(slots)):
        if _repeats(state.pending[slots[at]], state.pending[slots[kept - 1]]):
            state.control[0]["duplicates"] += 1
            _free(slots[at], state)
        else:
            slots[kept] = slots[at]
            kept += 1
    return slots[:kept]


@njit(cache=True)
def _repeats(row: Any, earlier: Any) -> bool:
    """Whether a row has the identity of an earlier one that was pending when it came. (Else two rows of one batch would differ from two batches.)"""
    same = row["seq"] > 0 and row["seq"] == earlier["seq"] and row["source"] == earlier["source"] and row["shift"] == earlier["shift"]
    return bool(same and (earlier["ts"] // SECOND_NS + 1) * SECOND_NS > row["mark"])


@njit(cache=True)
def _find_largest_seq(first: int, slots: NDArray[np.int32], state: State) -> None:
    """Lower each lane's `max_seq` to what is pending: numbers that began again must not be looked at twice for ever."""
    number = first
    while number != NONE:
        lane = state.lanes[number]
        lane["max_seq"] = 0
        for slot in slots:
            if state.pending[slot]["source"] == lane["source"]:
                lane["max_seq"] = max(lane["max_seq"], state.pending[slot]["seq"])
        number = lane["next"]
