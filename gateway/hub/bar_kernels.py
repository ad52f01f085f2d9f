"""Compiled: forming bars as JSON, all rows of a table in one pass.

A number is written from its fixed point as a decimal with at least one digit on either side, which a reader takes for the same double as the quotient.
"""

# Compiled functions have no keyword-only arguments.
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.runtime import engine_choice  # noqa: F401 - before numba

# isort: split
from numba import njit

Octets: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int64]

#: Places in a row of `ints`: those of BarRow.
_OPEN_TIME, _CLOSE_TIME, _OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _VWAP, _COUNT, _REVISION, _KIND, _SHIFT, _PRICE_DIGITS, _SIZE_DIGITS, _RECEIVED = range(15)
#: Digits that a vwap has more than its price.
_VWAP_DIGITS = 4
#: Octets of a row but for its symbol and what is given: eleven numbers of at most nineteen digits with sign, point and zeros before them, and 120
#: for the names of the fields.
MOST_ROW = 11 * 48 + 120
#: What stands before a tail in a message.
MOST_PREFIX = 32


def _octets(text: str) -> Octets:
    return np.frombuffer(text.encode(), np.uint8)


_T_CLOSE, _O, _H, _L, _C, _V, _REV = (_octets(f',"{name}":') for name in ("tc", "o", "h", "l", "c", "v", "rev"))
_SOURCE, _VW, _N, _RECV, _REPLAY = (_octets(text) for text in (',"source":"', ',"vw":', ',"n":', ',"ts_recv":', ',"replay_of":'))
_QUOTE = _octets('"')
_LIVE, _REPLAYED, _SYNTHETIC, _UNSPECIFIED = _octets("live"), _octets("replay"), _octets("synthetic"), _octets("unspecified")
_SEQ, _COMMA = _octets('{"seq":'), _octets(",")


@njit(cache=True)
def write_tails(ints: Ints, head: Octets, symbols: Octets, places: Ints, middle: Octets, end: Octets, out: Octets, ends: Ints) -> None:
    """Messages without their opening brace and seq.

    ints: rows of BarRow, shape (n, 15). head: what comes before the symbol. symbols: all of them as JSON; places: begin and end of each row's, shape
    (n, 2). middle: what comes between the symbol and the open time. end: what comes after the last field. out: long enough. ends: where each ends,
    shape (n,).
    """
    at = 0
    for row in range(ints.shape[0]):
        at = _text(out, at, head)
        at = _text(out, at, symbols[places[row, 0] : places[row, 1]])
        at = _text(out, at, middle)
        at = _bar(out, at, ints[row])
        at = _text(out, at, end)
        ends[row] = at


@njit(cache=True)
def splice(tails: Octets, ends: Ints, seq: int, out: Octets) -> int:
    """Whole messages with a comma between two; returns their length. seq: of the first one. out: long enough."""
    at = begin = 0
    for row in range(len(ends)):
        if row > 0:
            at = _text(out, at, _COMMA)
        at = _text(out, at, _SEQ)
        at = _integer(out, at, seq + row)
        at = _text(out, at, _COMMA)
        at = _text(out, at, tails[begin : ends[row]])
        begin = ends[row]
    return at


@njit(cache=True)
def _bar(out: Octets, at: int, bar: Ints) -> int:
    price, size = bar[_PRICE_DIGITS], bar[_SIZE_DIGITS]
    at = _integer(out, at, bar[_OPEN_TIME] // 1_000_000)
    at = _integer(out, _text(out, at, _T_CLOSE), bar[_CLOSE_TIME] // 1_000_000)
    at = _decimal(out, _text(out, at, _O), bar[_OPEN], price)
    at = _decimal(out, _text(out, at, _H), bar[_HIGH], price)
    at = _decimal(out, _text(out, at, _L), bar[_LOW], price)
    at = _decimal(out, _text(out, at, _C), bar[_CLOSE], price)
    at = _decimal(out, _text(out, at, _V), bar[_VOLUME], size)
    at = _integer(out, _text(out, at, _REV), bar[_REVISION])
    at = _source(out, _text(out, at, _SOURCE), bar[_KIND])
    at = _text(out, at, _QUOTE)
    if bar[_VWAP] >= 0:
        at = _decimal(out, _text(out, at, _VW), bar[_VWAP], price + _VWAP_DIGITS)
    if bar[_COUNT] >= 0:
        at = _integer(out, _text(out, at, _N), bar[_COUNT])
    if bar[_RECEIVED] != 0:
        at = _integer(out, _text(out, at, _RECV), bar[_RECEIVED] // 1_000)
    if bar[_SHIFT] != 0:
        at = _integer(out, _text(out, at, _REPLAY), (bar[_OPEN_TIME] - bar[_SHIFT]) // 1_000_000)
    return at


@njit(cache=True)
def _source(out: Octets, at: int, kind: int) -> int:
    if kind == 1:
        return _text(out, at, _LIVE)
    if kind == 2:
        return _text(out, at, _REPLAYED)
    return _text(out, at, _SYNTHETIC if kind == 3 else _UNSPECIFIED)


@njit(cache=True)
def _text(out: Octets, at: int, text: Octets) -> int:
    for k in range(len(text)):
        out[at + k] = text[k]
    return at + len(text)


@njit(cache=True)
def _integer(out: Octets, at: int, value: int) -> int:
    if value < 0:
        out[at] = 45
        return _digits(out, at + 1, -value, 1)
    return _digits(out, at, value, 1)


@njit(cache=True)
def _decimal(out: Octets, at: int, value: int, digits: int) -> int:
    """value: >= 0, with so many digits after the point. Zeros at its end are left out, but for the first one."""
    at = _digits(out, at, value, digits + 1)
    point = at - digits
    for k in range(at, point, -1):
        out[k] = out[k - 1]
    out[point] = 46
    if digits == 0:
        out[at + 1] = 48
        return at + 2
    while at > point + 1 and out[at] == 48:
        at -= 1
    return at + 1


@njit(cache=True)
def _digits(out: Octets, at: int, value: int, least: int) -> int:
    """At least so many, with zeros before."""
    count, rest = 1, value // 10
    while rest > 0:
        count += 1
        rest //= 10
    count = max(count, least)
    for k in range(at + count - 1, at - 1, -1):
        out[k] = 48 + value % 10
        value //= 10
    return at + count
