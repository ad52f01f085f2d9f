"""Compiled: pending rows as few octets, and back.

At 100,000 ticks/s there are 300,000 of them, each of 80 octets, and every second all go to the broker. A row looks like the one before it in its
symbol's list, so the differences are written: about 13 octets, in less time than a copy takes, because the rows lie all over the memory.

A row: an octet that says which of shift, source and kind are other than before; those that are; then ts, recv less ts, price, size, seq, arrival,
mark less the ts before. Each is the difference to the row before it in the list (of the first: to zeros), zigzag, as a varint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from services.prices.engine.layout import NONE, Records, State

#: Numbers of a row, and how many of them, the first, seldom change.
_FIELDS, _SELDOM = 10, 3
#: Octets of a row at most: a varint of 64 bits has ten.
_ROW = 1 + 10 * _FIELDS
#: Lists that are walked together: each step waits for the memory, and these waits are at the same time.
_TOGETHER = 16


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
    before, now = np.empty(_FIELDS, np.int64), np.empty(_FIELDS, np.int64)
    at = row = end = 0
    for number in range(len(symbols)):
        before[:] = 0
        end += symbols[number]["rows"]
        while row < end:
            tick = pending[slots[row]]
            now[0], now[1], now[2] = tick["shift"], tick["source"], tick["kind"]
            now[3], now[4], now[5], now[6] = tick["ts"], tick["recv"] - tick["ts"], tick["price"], tick["size"]
            now[7], now[8], now[9] = tick["seq"], tick["arrival"], tick["mark"] - before[3]
            head, at, changed = at, at + 1, 0
            for k in range(_SELDOM):
                if now[k] != before[k]:
                    changed |= 1 << k
                    at = _put(octets, at, now[k] - before[k])
                    before[k] = now[k]
            for k in range(_SELDOM, _FIELDS):
                at = _put(octets, at, now[k] - before[k])
                before[k] = now[k]
            octets[head] = changed
            row += 1
    return octets[:at]


@njit(cache=True)
def unpack(octets: NDArray[np.uint8], symbols: Records, pending: Records) -> int:
    """Writes the rows that `pack` was given, symbol by symbol, linked into lists, as many as the symbols say.

    Returns the octets that were read; -1 when there are too few.
    """
    now = np.empty(_FIELDS, np.int64)
    at = row = end = 0
    for number in range(len(symbols)):
        now[:] = 0
        symbol = symbols[number]
        end += symbol["rows"]
        symbol["head"], symbol["tail"] = (row, end - 1) if row < end else (NONE, NONE)
        while row < end:
            if not _is_whole(octets, at):
                return -1
            changed, at, ts_before = octets[at], at + 1, now[3]
            for k in range(_FIELDS):
                if k >= _SELDOM or changed >> k & 1:
                    at, change = _get(octets, at)
                    now[k] += change
            tick = pending[row]
            tick["shift"], tick["source"], tick["kind"] = now[0], now[1], now[2]
            tick["ts"], tick["recv"], tick["price"], tick["size"] = now[3], now[3] + now[4], now[5], now[6]
            tick["seq"], tick["arrival"], tick["mark"] = now[7], now[8], ts_before + now[9]
            row += 1
            tick["symbol"], tick["next"] = number, row if row < end else NONE
    return at


@njit(cache=True)
def _is_whole(octets: NDArray[np.uint8], at: int) -> bool:
    """Whether a row that begins there ends within the octets."""
    if at >= len(octets):
        return False
    changed = octets[at]
    left = _FIELDS - _SELDOM
    for k in range(_SELDOM):
        left += changed >> k & 1
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
def _get(octets: NDArray[np.uint8], at: int) -> tuple[int, np.int64]:
    number, place = np.uint64(0), np.uint64(0)
    while octets[at] >= 128:
        number |= np.uint64(octets[at] & 127) << place
        place += np.uint64(7)
        at += 1
    number |= np.uint64(octets[at]) << place
    return at + 1, np.int64(number >> np.uint64(1)) ^ -np.int64(number & np.uint64(1))
