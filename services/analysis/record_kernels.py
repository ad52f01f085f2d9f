# ruff: noqa: PLR0917 - numba compiles positional arguments to plain registers; keywords would only be checked at compile time
"""Compiled: what is done with a record of bars beside the indicators themselves. Bars as they were read become the engine's, and its answers records.

What is not usual is left to the plain code in intake.py and signal_wire.py, which does the same.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from services.analysis.indicators.kernels import Crossings, FloatArray, IntArray, Rules

Octets = npt.NDArray[np.uint8]
Smalls = npt.NDArray[np.uint32]

#: For the plain code.
UNUSUAL = -1

#: Places of the columns in `wide` and `small`, as in services.runtime.wire_codec.BAR_WIDE and BAR_SMALL.
_TS_OPEN, _TS_CLOSE, _OPEN, _VOLUME, _SHIFT = 0, 1, 2, 6, 9
_INSTRUMENT, _INTERVAL, _REVISION, _KIND = 0, 1, 2, 3
#: Up to here integers are exact as float64, and so a division by a power of ten is rounded once.
_EXACT = 2**53
#: Places in `Bars.floats`.
_CLOSE, _BAR_VOLUME = 3, 4


class SignalParts(NamedTuple):
    """What the rows of a rule's signals have in common."""

    on_rsi_scale: npt.NDArray[np.bool_]
    """Whether strength is measured on RSI's scale; shape (rules,)."""
    pick: IntArray
    """Columns of its values, those of the bar before (left, right) after the bar's own, -1 for none; shape (rules, most)."""
    octets: Octets
    """The serialised parts of all rules, one after the other."""
    places: IntArray
    """Begin and end of type and direction, begin and end of the names with the head of the values; shape (rules, 4)."""
    atr: int
    """Column of the average true range."""
    rsi_top: float
    """Where RSI's scale ends."""


@njit(cache=True)
def take_in(
    rows: int,
    wide: IntArray,
    small: Smalls,
    numbers: IntArray,
    digits: IntArray,
    known: IntArray,
    intervals: IntArray,
    powers: FloatArray,
    at: IntArray,
    floats: FloatArray,
) -> tuple[int, int]:
    """The rows of analysed intervals; returns how many there are and how many of them belong to a series that is not known, or UNUSUAL and 0.

    numbers: of the instruments of the record. digits, known: of each number, price and size digits, and series by interval, -1 for one that is not known.
    intervals: lengths in seconds and which of the series it is, -1 for none; shape (lengths, 2). Written are `at`: row, series, open time; shape (3, rows),
    and floats: open, high, low, close, volume; shape (5, rows).
    """
    count = unknown = 0
    for row in range(rows):
        length: Any = np.int64(small[_INTERVAL, row])
        which = -2
        for k in range(intervals.shape[0]):
            if intervals[k, 0] == length:
                which = intervals[k, 1]
        if which == -2:
            return UNUSUAL, 0
        if which < 0:
            continue
        number = numbers[small[_INSTRUMENT, row]]
        at[0, count] = row
        at[1, count] = known[number, which]
        at[2, count] = wide[_TS_OPEN, row]
        unknown += known[number, which] < 0
        for k in range(5):
            column = _VOLUME if k == _BAR_VOLUME else _OPEN + k
            if wide[column, row] > _EXACT:
                return UNUSUAL, 0
            floats[k, count] = wide[column, row] / powers[digits[number, k // _BAR_VOLUME]]
        count += 1
    return count, unknown


@njit(cache=True)
def lay_out(
    taken: IntArray, at: IntArray, origin: IntArray, wide: IntArray, small: Smalls, new_wide: IntArray, new_small: Smalls, used: IntArray, intervals: IntArray
) -> int:
    """The columns of IndicatorBatch beside the values; returns how many instruments occur and writes which, in the order of the table.

    taken: the bars that the engine took, as positions in `at`. origin: by series. used: shape (instruments of the record,). intervals: as in `take_in`, with
    a third column to which the number of bars of each length is added.
    """
    place = np.full(len(used), -1, np.int64)
    for k in range(len(taken)):
        place[small[_INSTRUMENT, at[0, taken[k]]]] = 0
    count = 0
    for instrument in range(len(place)):
        if place[instrument] == 0:
            place[instrument] = count
            used[count] = instrument
            count += 1
    for k in range(len(taken)):
        row = at[0, taken[k]]
        new_wide[0, k] = wide[_TS_OPEN, row]
        new_wide[1, k] = origin[at[1, taken[k]]]
        new_wide[2, k] = wide[_SHIFT, row]
        new_small[0, k] = place[small[_INSTRUMENT, row]]
        new_small[1, k] = small[_INTERVAL, row]
        new_small[2, k] = small[_REVISION, row]
        new_small[3, k] = small[_KIND, row]
        for length in range(intervals.shape[0]):
            intervals[length, 2] += intervals[length, 0] == small[_INTERVAL, row]
    return count


@njit(cache=True)
def write_signals(
    crossings: Crossings,
    values: FloatArray,
    taken: IntArray,
    at: IntArray,
    floats: FloatArray,
    wide: IntArray,
    small: Smalls,
    numbers: IntArray,
    symbols: Octets,
    symbol_places: IntArray,
    rules: Rules,
    parts: SignalParts,
    by_rule: IntArray,
    out: Octets,
) -> int:
    """A SignalBatch; returns its length, or UNUSUAL. The bytes are those of protobuf.

    symbols: the serialised symbols of all numbers, each at its place. by_rule: signals of each rule are added to it. out: long enough.
    """
    strength = np.empty(1, np.float64)
    bits, close, volume = strength.view(np.int64), floats[_CLOSE].view(np.int64), floats[_BAR_VOLUME].view(np.int64)
    length = 0
    for k in range(len(crossings.row)):
        rule, of_bar = crossings.rule[k], taken[crossings.row[k]]
        row = at[0, of_bar]
        now = values[crossings.row[k]]
        strength[0] = _strength(rules, parts, rule, now, crossings.before[k])
        plain = wide[_TS_OPEN, row] == 0 or wide[_TS_CLOSE, row] == 0 or small[_REVISION, row] != 0
        # Protobuf leaves zeros out. (Strength is one as well where the rule does not agree that it was crossed.)
        if plain or strength[0] == 0.0 or floats[_CLOSE, of_bar] == 0.0 or floats[_BAR_VOLUME, of_bar] == 0.0:
            return UNUSUAL
        by_rule[rule] += 1
        number = numbers[small[_INSTRUMENT, row]]
        symbol, places = symbol_places[number], parts.places[rule]
        interval: Any = np.int64(small[_INTERVAL, row])
        shift = wide[_SHIFT, row]
        count = _picked(parts, rule)
        size = symbol[1] - symbol[0] + 1 + _varint_octets(interval) + 18 + places[1] - places[0] + 27 + places[3] - places[2] + 8 * count + 2
        size += 9 if shift != 0 else 0
        length = _put_number(out, length, 0x0A, size)
        length = _copy(out, length, symbols, symbol[0], symbol[1])
        length = _put_number(out, length, 0x10, interval)
        length = _put_field(out, length, 0x19, wide[_TS_OPEN, row])
        length = _put_field(out, length, 0x21, wide[_TS_CLOSE, row])
        length = _copy(out, length, parts.octets, places[0], places[1])
        length = _put_field(out, length, 0x41, close[of_bar])
        length = _put_field(out, length, 0x49, volume[of_bar])
        length = _put_field(out, length, 0x51, bits[0])
        length = _copy(out, length, parts.octets, places[2], places[3])
        for value in range(count):
            column = parts.pick[rule, value]
            strength[0] = now[column] if column < len(now) else crossings.before[k, column - len(now)]
            length = _put_eight(out, length, bits[0])
        out[length], out[length + 1] = 0x68, small[_KIND, row]
        length += 2
        if shift != 0:
            length = _put_field(out, length, 0x71, shift)
    return length


@njit(cache=True)
def _picked(parts: SignalParts, rule: int) -> int:
    """How many values a rule's signals carry."""
    count = 0
    while count < parts.pick.shape[1] and parts.pick[rule, count] >= 0:
        count += 1
    return count


@njit(cache=True)
def _put_number(out: Octets, length: int, tag: int, value: Any) -> int:
    out[length] = tag
    return _put(out, length + 1, value)


@njit(cache=True)
def _strength(rules: Rules, parts: SignalParts, rule: int, now: FloatArray, before: FloatArray) -> float:
    """As SignalRule.decide; 0 where that is None."""
    left, right, direction = rules.left[rule], rules.right[rule], rules.direction[rule]
    limit = rules.level[rule] if right < 0 else now[right]
    distance = (now[left] - limit) * direction
    if not ((before[0] - before[1]) * direction <= 0.0 and distance > 0.0):
        return 0.0
    if parts.on_rsi_scale[rule]:
        strength: float = distance / (parts.rsi_top - rules.level[rule] if direction > 0 else rules.level[rule])
        return strength
    atr = now[parts.atr]
    if not atr > 0.0:
        return 1.0
    part: float = distance / atr
    return part if part < 1.0 else 1.0


@njit(cache=True)
def _varint_octets(value: int) -> int:
    octets = 1
    while value > 0x7F:
        octets += 1
        value >>= 7
    return octets


@njit(cache=True)
def _put(out: Octets, at: int, value: int) -> int:
    """A varint; returns where the next octet goes, as all of these do."""
    while value > 0x7F:
        out[at] = value & 0x7F | 0x80
        at += 1
        value >>= 7
    out[at] = value
    return at + 1


@njit(cache=True)
def _put_field(out: Octets, at: int, tag: int, value: int) -> int:
    out[at] = tag
    return _put_eight(out, at + 1, value)


@njit(cache=True)
def _put_eight(out: Octets, at: int, value: int) -> int:
    for k in range(8):
        out[at + k] = (value >> (8 * k)) & 0xFF
    return at + 8


@njit(cache=True)
def _copy(out: Octets, at: int, octets: Octets, begin: int, end: int) -> int:
    for k in range(end - begin):
        out[at + k] = octets[begin + k]
    return at + end - begin
