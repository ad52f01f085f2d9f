"""Compiled: protobuf's wire format of columnar messages, read and written in one pass.

Only what our own writers make is read here: each column once, packed, of equal length, every number in its range. Anything else, broken or merely
unusual, is answered with NOT_PLAIN, and protobuf decides. So nothing here has to know what is wrong with a record.
"""

# Compiled functions have no keyword-only arguments.
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.runtime import engine_choice  # noqa: F401 - before numba

# isort: split
from numba import njit

Octets: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int64]
Smalls: TypeAlias = NDArray[np.uint32]

#: The record is for protobuf.
NOT_PLAIN = -1

#: What a field of a message is; other fields are 0. Of the columns, WIDE has eight octets a number and SMALL is base 128, below 2**32.
WIDE, SMALL, ENTRY, STRING, FIXED, NUMBER, VALUES = 1, 2, 3, 4, 5, 6, 7
#: Wire types.
_VARINT, _EIGHT, _LENGTH = 0, 1, 2
_SMALL_END = 2**32


@njit(cache=True)
def read(data: Octets, plan: Ints, wide_limits: Ints, small_limits: Ints, wide: Ints, small: Smalls, entries: Ints, scalars: Ints) -> tuple[int, int]:
    """Reads a message; returns the number of rows and of entries of its table, or NOT_PLAIN and 0.

    plan: by field number what it is and its place, shape (fields, 2). wide_limits, small_limits: least and largest number of each column, shape
    (columns, 2). The first small column is an index into the table. Written are wide and small, shape (columns, room for rows); entries: begin and
    end of each, shape (room, 2); scalars: begin and end of strings, values of numbers, shape (scalars, 2): the second is 1 for numbers that are there.
    """
    # Rows of each column, -1 for one that is not there (yet).
    wide_rows, small_rows = np.full(wide.shape[0], -1, np.int64), np.full(small.shape[0], -1, np.int64)
    scalars[:] = 0
    count = at = 0
    plain = True
    while plain and at < len(data):
        tag, at = _number(data, at, len(data))
        wire, end = tag & 7, at
        if wire == _LENGTH:
            length, at = _number(data, at, len(data))
            end = at + length
            plain = length >= 0 and end <= len(data)
        if tag < 0 or tag >> 3 >= plan.shape[0] or not plain:
            return NOT_PLAIN, 0
        kind, place = plan[tag >> 3, 0], plan[tag >> 3, 1]
        if wire == _LENGTH and kind == WIDE and wide_rows[place] < 0:
            wide_rows[place] = _read_wide(data, at, end, wide, place, wide_limits)
            plain = wide_rows[place] >= 0
        elif wire == _LENGTH and kind == SMALL and small_rows[place] < 0:
            small_rows[place] = _read_small(data, at, end, small, place, small_limits)
            plain = small_rows[place] >= 0
        elif wire == _LENGTH and kind == ENTRY and count < entries.shape[0]:
            entries[count, 0], entries[count, 1] = at, end
            count += 1
        elif STRING <= kind <= NUMBER:
            end = _read_scalar(data, at, end, kind, wire, scalars[place])
            plain = end >= 0
        else:
            plain = False
        at = end
    rows = max(0, small_rows[0])
    if plain and _agree(rows, wide_rows) and _agree(rows, small_rows) and _below(count, small, rows):
        return rows, count
    return NOT_PLAIN, 0


@njit(cache=True)
def _agree(rows: int, found: Ints) -> bool:
    """Whether all columns have so many rows."""
    others = 0
    for place in range(len(found)):
        others += max(0, found[place]) != rows
    return others == 0


@njit(cache=True)
def _below(count: int, small: Smalls, rows: int) -> bool:
    """Whether all indexes are."""
    beyond = 0
    for row in range(rows):
        beyond += small[0, row] >= count
    return beyond == 0


@njit(cache=True)
def _read_scalar(data: Octets, at: int, end: int, kind: int, wire: int, scalar: Ints) -> int:
    """Returns where it ends, NOT_PLAIN for one that came already, and for what is no scalar."""
    if scalar[1] != 0:
        return NOT_PLAIN
    if wire == _LENGTH and kind == STRING:
        scalar[0], scalar[1] = at, end
    elif wire == _EIGHT and kind == FIXED and at + 8 <= len(data):
        scalar[0], scalar[1] = _eight(data, at), 1
        end = at + 8
    elif wire == _VARINT and kind == NUMBER:
        value, end = _number(data, at, len(data))
        scalar[0], scalar[1] = value, 1
        if value < 0:
            return NOT_PLAIN
    else:
        return NOT_PLAIN
    return end


@njit(cache=True)
def _number(data: Octets, at: int, end: int) -> tuple[int, int]:
    """A varint below 2**32 and where it ends; -1 for another."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= end:
            return -1, at
        octet: Any = np.int64(data[at])
        at += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return (value if value < _SMALL_END else -1), at
    return -1, at


@njit(cache=True)
def _eight(data: Octets, at: int) -> Any:
    """A little-endian number of eight octets; compiled it is one load."""
    value: Any = np.int64(data[at])
    for k in range(1, 8):
        value |= np.int64(data[at + k]) << (8 * k)
    return value


@njit(cache=True)
def _read_wide(data: Octets, at: int, end: int, wide: Ints, place: int, limits: Ints) -> int:
    rows, rest = divmod(end - at, 8)
    if rest != 0 or rows > wide.shape[1]:
        return NOT_PLAIN
    least, largest = limits[place, 1], limits[place, 0]
    for row in range(rows):
        value = _eight(data, at + 8 * row)
        wide[place, row] = value
        least, largest = min(least, value), max(largest, value)
    return rows if least >= limits[place, 0] and largest <= limits[place, 1] else NOT_PLAIN


@njit(cache=True)
def _read_small(data: Octets, at: int, end: int, small: Smalls, place: int, limits: Ints) -> int:
    rows = 0
    while at < end:
        value: Any = np.int64(data[at])
        if value < 0x80:
            at += 1
        else:
            value, at = _number(data, at, end)
        if rows == small.shape[1] or value < limits[place, 0] or value > limits[place, 1]:
            return NOT_PLAIN
        small[place, rows] = value
        rows += 1
    return rows


@njit(cache=True)
def write(plan: Ints, rows: int, wide: Ints, small: Smalls, values: Ints, out: Octets) -> int:
    """Writes columns as packed fields, none when there are no rows; returns the number of octets.

    plan: tag, kind and place of each field in their order, shape (fields, 3). wide, small: shape (columns, at least rows). values: the numbers of a
    field of the kind VALUES, as the int64 that have their bits. out: long enough.
    """
    at = 0
    if rows == 0:
        return at
    for field in range(plan.shape[0]):
        kind, place = plan[field, 1], plan[field, 2]
        at = _put(out, at, plan[field, 0])
        if kind == SMALL:
            at = _put(out, at, _small_octets(small, place, rows))
            for row in range(rows):
                value: Any = np.int64(small[place, row])
                at = _put(out, at, value)
        elif kind == WIDE:
            at = _put(out, at, 8 * rows)
            for row in range(rows):
                at = _put_eight(out, at, wide[place, row])
        else:
            at = _put(out, at, 8 * len(values))
            for k in range(len(values)):
                at = _put_eight(out, at, values[k])
    return at


@njit(cache=True)
def _small_octets(small: Smalls, place: int, rows: int) -> int:
    octets = rows
    for row in range(rows):
        value = np.int64(small[place, row]) >> 7
        while value > 0:
            octets += 1
            value >>= 7
    return octets


@njit(cache=True)
def _put(out: Octets, at: int, value: int) -> int:
    """A varint; returns where the next one goes."""
    while value > 0x7F:
        out[at] = value & 0x7F | 0x80
        at += 1
        value >>= 7
    out[at] = value
    return at + 1


@njit(cache=True)
def _put_eight(out: Octets, at: int, value: int) -> int:
    for k in range(8):
        out[at + k] = (value >> (8 * k)) & 0xFF
    return at + 8
