"""Compiled: pending rows as few octets, and back.

At 100,000 ticks/s there are 300,000 of them, each of 80 octets, and every second all go to the broker. A row looks like the one before it in its
symbol's list, so the differences are written: about 13 octets, in less time than a copy takes, because the rows lie all over the memory.

A row: one octet that says which of the SELDOM fields are other than before; those that are; then ts, recv less ts, price, size, seq, arrival,
mark less the ts before. Each is the difference to the row before it in the list (of the first: to zeros), zigzag, as a varint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from services.prices.engine.layout import NONE, Records, State

#: Octets of a varint of 64 bits.
_VARINT = 10
#: Octets of a row at most: ten fields and the one before them.
_ROW = 10 * _VARINT + 1
#: Lists that are walked together: each step waits for the memory, and these waits are at the same time.
_TOGETHER = 16
#: Bits of a row's first octet.
_SHIFT, _SOURCE, _KIND = 1, 2, 4


@njit(cache=True, nogil=True)
def pending_slots(symbols: int, state: State) -> NDArray[np.int32]:
    """Slots of all pending rows of the first `symbols` symbols, symbol by symbol, each in the order of its list."""
    table, pending = state.symbols, state.pending
    begins = np.zeros(symbols + 1, np.int64)
    for number in range(symbols):
        begins[number + 1] = begins[number] + table[number]["rows"]
    slots = np.empty(begins[symbols], np.int32)
    for first in range(0, symbols, _TOGETHER):
        last = min(first + _TOGETHER, symbols)
        longest = 0
        for number in range(first, last):
            longest = max(longest, table[number]["rows"])
            if table[number]["rows"]:
                slots[begins[number]] = table[number]["head"]
        for step in range(1, longest):
            for number in range(first, last):
                at = begins[number] + step
                if at < begins[number + 1]:
                    slots[at] = pending[slots[at - 1]]["next"]
    return slots


@njit(cache=True, nogil=True)
def pack(slots: NDArray[np.int32], symbols: Records, pending: Records) -> NDArray[np.uint8]:
    """The rows in these slots, which are those of all symbols, as `pending_slots` gives them."""
    octets = np.empty(len(slots) * _ROW, np.uint8)
    at, end = 0, 0
    zero = np.int64(0)
    row = 0
    for number in range(len(symbols)):
        ts, lead, price, size, seq, arrival, lag, shift, source, kind = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
        end += symbols[number]["rows"]
        while row < end:
            tick = pending[slots[row]]
            row += 1
            head = at
            at += 1
            changed = 0
            if tick["shift"] != shift:
                changed |= _SHIFT
                at = _put(octets, at, tick["shift"] - shift)
                shift = tick["shift"]
            if tick["source"] != source:
                changed |= _SOURCE
                at = _put(octets, at, tick["source"] - source)
                source = np.int64(tick["source"])
            if tick["kind"] != kind:
                changed |= _KIND
                at = _put(octets, at, tick["kind"] - kind)
                kind = np.int64(tick["kind"])
            octets[head] = changed
            new_lag, new_lead = tick["mark"] - ts, tick["recv"] - tick["ts"]
            at = _put(octets, at, tick["ts"] - ts)
            at = _put(octets, at, new_lead - lead)
            at = _put(octets, at, tick["price"] - price)
            at = _put(octets, at, tick["size"] - size)
            at = _put(octets, at, tick["seq"] - seq)
            at = _put(octets, at, tick["arrival"] - arrival)
            at = _put(octets, at, new_lag - lag)
            ts, lead, price, size, seq, arrival, lag = tick["ts"], new_lead, tick["price"], tick["size"], tick["seq"], tick["arrival"], new_lag
    return octets[:at]


@njit(cache=True)
def unpack(octets: NDArray[np.uint8], symbols: Records, pending: Records) -> int:
    """Writes the rows that `pack` was given, symbol by symbol, linked into lists, as many as the symbols say. Returns the octets that were read; -1 when there are too few."""
    at, end, row = 0, 0, 0
    zero = np.int64(0)
    for number in range(len(symbols)):
        ts, lead, price, size, seq, arrival, lag, shift, source, kind = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
        symbol = symbols[number]
        symbol["head"], symbol["tail"] = NONE, NONE
        if symbol["rows"]:
            symbol["head"], symbol["tail"] = row, row + symbol["rows"] - 1
        end += symbol["rows"]
        while row < end:
            if at + _ROW > len(octets) and not _is_whole(octets, at):
                return -1
            tick = pending[row]
            changed = octets[at]
            at += 1
            if changed & _SHIFT:
                at, change = _get(octets, at)
                shift += change
            if changed & _SOURCE:
                at, change = _get(octets, at)
                source += change
            if changed & _KIND:
                at, change = _get(octets, at)
                kind += change
            before = ts
            at, change = _get(octets, at)
            ts += change
            at, change = _get(octets, at)
            lead += change
            at, change = _get(octets, at)
            price += change
            at, change = _get(octets, at)
            size += change
            at, change = _get(octets, at)
            seq += change
            at, change = _get(octets, at)
            arrival += change
            at, change = _get(octets, at)
            lag += change
            tick["ts"], tick["recv"], tick["price"], tick["size"], tick["seq"], tick["arrival"] = ts, ts + lead, price, size, seq, arrival
            tick["shift"], tick["source"], tick["kind"], tick["mark"] = shift, source, kind, before + lag
            row += 1
            tick["symbol"] = number
            tick["next"] = row if row < end else NONE
    return at


@njit(cache=True)
def _is_whole(octets: NDArray[np.uint8], at: int) -> bool:
    """Whether a row that begins there ends within the octets."""
    if at >= len(octets):
        return False
    changed = octets[at]
    left = 7 + (changed & 1) + (changed >> 1 & 1) + (changed >> 2 & 1)
    for place in range(at + 1, len(octets)):
        left -= octets[place] < 128
        if left == 0:
            return True
    return False


@njit(cache=True)
def _put(octets: NDArray[np.uint8], at: int, number: Any) -> int:
    wide = np.int64(number)
    left = np.uint64((wide << np.int64(1)) ^ (wide >> np.int64(63)))
    while left >= np.uint64(128):
        octets[at] = np.uint8(left & np.uint64(127)) | np.uint8(128)
        left >>= np.uint64(7)
        at += 1
    octets[at] = np.uint8(left)
    return at + 1


@njit(cache=True)
def _get(octets: NDArray[np.uint8], at: int) -> tuple[int, int]:
    number, place = np.uint64(0), np.uint64(0)
    while octets[at] >= 128:
        number |= np.uint64(octets[at] & 127) << place
        place += np.uint64(7)
        at += 1
    number |= np.uint64(octets[at]) << place
    return at + 1, np.int64(number >> np.uint64(1)) ^ -np.int64(number & np.uint64(1))
