"""Compiled: pending rows into bars of one second, those into longer bars, and the exact arithmetic of vwap."""

# Compiled functions have no keyword-only arguments.
# ruff: noqa: PLR0917

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

from services.prices.engine.layout import DAY_NS, INT64_MAX, INTERVAL_COUNT, LENGTHS_NS, NONE, SECOND_NS, SECONDS, Ints, Records, Sessions, State

#: As in sessions.py.
UTC_DAYS, NO_CALENDAR = -2, -1
_DAY = INTERVAL_COUNT - 1
#: Nothing is allocated here and all arrays belong to the caller, so reference counts (atomic, several for each row) are left out.
_OPTIONS: Any = {"error_model": "numpy", "_nrt": False}
_FunctionT = TypeVar("_FunctionT", bound=Callable[..., Any])
_compiled: Callable[[_FunctionT], _FunctionT] = njit(cache=True, **_OPTIONS)


@_compiled
def advance(start: int, sessions: Sessions, state: State, out: Records) -> tuple[int, int]:
    """Close what is final of the touched symbols from number `start` on. Returns (rows written to `out`, symbols done).

    When `out` may be too small for the next symbol, stops before it and leaves the rows needed in control.
    """
    count = 0
    control = state.control[0]
    for done in range(start, control["touched"]):
        number = state.touched[done]
        symbol = state.symbols[number]
        control["needed"] = INTERVAL_COUNT * (symbol["rows"] + 1)
        if count + control["needed"] > len(out):
            return count, done
        count = _fold(number, state.bars[number], symbol["watermark"], sessions, state, out, count)
        symbol["touched"] = 0
    return count, control["touched"]


@_compiled
def form(numbers: Ints, start: int, sessions: Sessions, state: State, scratch: Records, out: Records) -> tuple[int, int]:
    """Forming bars of these symbols that changed since the last call, as if all pending rows were final. Otherwise as `advance`.

    What was folded by the last call is not folded again, unless rows came between: else every call would cost as much as all pending rows.
    scratch: BAR, shape (INTERVAL_COUNT,).
    """
    count = 0
    for done in range(start, len(numbers)):
        number = numbers[done]
        symbol, folded, live = state.symbols[number], state.folded[number], state.live[number]
        state.control[0]["needed"] = INTERVAL_COUNT * (symbol["rows"] + 1)
        if count + state.control[0]["needed"] > len(out):
            return count, done
        if folded["slot"] == NONE:
            _copy(state.bars[number], live)
            live[0]["trade_count"] = 0
            folded["end"] = 0
            folded["room"] = 0
            folded["kept"] = 0
            slot = symbol["head"] if symbol["rows"] > 0 else NONE
        else:
            slot = state.pending[folded["slot"]]["next"]
        count = _fold_live(number, live, slot, symbol["calendar"], symbol["dirty_from"], sessions, state, out, count)
        _copy(live, scratch)
        count = _close_second(number, scratch, symbol["calendar"], sessions, symbol["dirty_from"], out, count)
        count = _close_before(number, scratch, INT64_MAX, symbol["dirty_from"], out, count)
        symbol["live_changed"] = 0
        symbol["dirty_from"] = INT64_MAX
    return count, len(numbers)


@_compiled
def _copy(bars: Records, to: Records) -> None:
    for k in range(INTERVAL_COUNT):
        to[k] = bars[k]


@_compiled
def _fold_live(number: int, bars: Records, first: int, calendar: int, after: int, sessions: Sessions, state: State, out: Records, count: int) -> int:
    """Fold the rows from slot `first` on into the bars, but for the last second, which stays open. Otherwise as `_fold`."""
    slot, folded = first, state.folded[number]
    while slot != NONE:
        row = state.pending[slot]
        if row["ts"] >= folded["end"]:
            _keep(bars[0], folded, state.seconds[number])
            count = _close_second(number, bars, calendar, sessions, after, out, count)
            folded["end"] = (row["ts"] // SECOND_NS + 1) * SECOND_NS
            count = _close_before(number, bars, folded["end"] - SECOND_NS, after, out, count)
            folded["room"] = _room(bars)
            folded["refused"] = 0
        if row["size"] <= folded["room"]:
            _add(bars[0], row, folded["end"])
            folded["room"] -= row["size"]
        else:
            folded["refused"] += 1
        folded["slot"] = slot
        slot = row["next"]
    return count


@_compiled
def _keep(second: Any, folded: Any, seconds: Records) -> None:
    """The second is whole: remember it, if there is room for it."""
    if second["trade_count"] == 0 or folded["refused"] > 0 or folded["kept"] == SECONDS:
        return
    kept = seconds[(folded["first"] + folded["kept"]) % SECONDS]
    _assign(second, kept)
    kept["slot"] = folded["slot"]
    folded["kept"] += 1


@_compiled
def _fold_kept(number: int, bars: Records, limit: int, sessions: Sessions, state: State, out: Records, count: int) -> int:
    """As `_fold`, for the seconds at the head of the list that are kept: their rows are given back without a look at them."""
    symbol, folded, control = state.symbols[number], state.folded[number], state.control[0]
    while folded["slot"] != NONE and folded["kept"] > 0:
        kept = state.seconds[number, folded["first"]]
        end, first = kept["ts_close"], symbol["head"]
        if end > limit or state.pending[first]["ts"] < end - SECOND_NS:
            break
        count = _close_before(number, bars, end - SECOND_NS, -1, out, count)
        _assign(kept, bars[0])
        rows, last = kept["trade_count"], state.pending[kept["slot"]]
        count = _close_second(number, bars, symbol["calendar"], sessions, -1, out, count)
        symbol["head"], last["next"], control["free"] = last["next"], control["free"], first
        symbol["rows"] -= rows
        control["free_rows"] += rows
        folded["first"] = (folded["first"] + 1) % SECONDS
        folded["kept"] -= 1
    return count


@_compiled
def _assign(bar: Any, to: Any) -> None:
    """The fields of BAR."""
    to["ts_open"] = bar["ts_open"]
    to["ts_close"] = bar["ts_close"]
    to["open"] = bar["open"]
    to["high"] = bar["high"]
    to["low"] = bar["low"]
    to["close"] = bar["close"]
    to["volume"] = bar["volume"]
    to["trade_count"] = bar["trade_count"]
    to["shift"] = bar["shift"]
    to["recv"] = bar["recv"]
    to["kind"] = bar["kind"]
    to["notional_low"] = bar["notional_low"]
    to["notional_high"] = bar["notional_high"]


@_compiled
def _fold(number: int, bars: Records, limit: int, sessions: Sessions, state: State, out: Records, count: int) -> int:
    """Fold a symbol's rows of seconds that end at or before `limit` into the bars, take them out of the list, and write the bars that end then.

    Returns the new count of rows in `out`.
    """
    symbol, second, folded = state.symbols[number], bars[0], state.folded[number]
    second["trade_count"] = 0
    count = _fold_kept(number, bars, limit, sessions, state, out, count)
    end = room = 0
    slot = symbol["head"] if symbol["rows"] > 0 else NONE
    while slot != NONE:
        row = state.pending[slot]
        following = row["next"]
        if row["ts"] >= end:
            count = _close_second(number, bars, symbol["calendar"], sessions, -1, out, count)
            end = (row["ts"] // SECOND_NS + 1) * SECOND_NS
            if end > limit:
                break
            count = _close_before(number, bars, end - SECOND_NS, -1, out, count)
            room = _room(bars)
        fits = row["size"] <= room
        if fits:
            _add(second, row, end)
            room -= row["size"]
        symbol["rows"] -= 1
        if slot == folded["slot"]:
            folded["slot"] = NONE
        _release(slot, fits, state)
        slot = following
    count = _close_second(number, bars, symbol["calendar"], sessions, -1, out, count)
    symbol["head"] = slot
    while folded["kept"] > 0 and state.seconds[number, folded["first"]]["ts_close"] <= limit:
        folded["first"] = (folded["first"] + 1) % SECONDS
        folded["kept"] -= 1
    return _close_before(number, bars, limit, -1, out, count)


@_compiled
def _release(slot: int, folded: bool, state: State) -> None:
    """Give the slot back; a row that was not folded is kept in a list for whoever reports it."""
    control = state.control[0]
    if folded:
        state.pending[slot]["next"] = control["free"]
        control["free"] = slot
        control["free_rows"] += 1
    else:
        state.pending[slot]["next"] = control["refused"]
        control["refused"] = slot


@_compiled
def _room(bars: Records) -> int:
    """Volume that fits every bar. Called when each longer bar either holds the second or is empty."""
    largest = 0
    for k in range(1, INTERVAL_COUNT):
        if bars[k]["trade_count"] > 0:
            largest = max(largest, bars[k]["volume"])
    return INT64_MAX - largest


@_compiled
def _add(second: Any, row: Any, end: int) -> None:
    price = row["price"]
    if second["trade_count"] == 0:
        _start(second, end - SECOND_NS, end, price, row["shift"])
    second["high"] = max(second["high"], price)
    second["low"] = min(second["low"], price)
    second["close"] = price
    second["volume"] += row["size"]
    second["trade_count"] += 1
    second["recv"] = max(second["recv"], row["recv"])
    second["kind"] = max(second["kind"], row["kind"])
    high, low = _multiply(np.uint64(price), np.uint64(row["size"]))
    _add_notional(second, high, low)


@_compiled
def _start(bar: Any, ts_open: int, ts_close: int, price: int, shift: int) -> None:
    bar["ts_open"] = ts_open
    bar["ts_close"] = ts_close
    bar["open"] = price
    bar["high"] = price
    bar["low"] = price
    bar["shift"] = shift
    bar["volume"] = 0
    bar["trade_count"] = 0
    bar["recv"] = 0
    bar["kind"] = 0
    bar["notional_low"] = 0
    bar["notional_high"] = 0


@_compiled
def _close_second(number: int, bars: Records, calendar: int, sessions: Sessions, after: int, out: Records, count: int) -> int:
    """Write the bar of the second, if there is one, and add it to the longer ones."""
    second = bars[0]
    if second["trade_count"] == 0:
        return count
    for k in range(1, INTERVAL_COUNT):
        bar = bars[k]
        if bar["trade_count"] == 0:
            ts_open, ts_close = _window(k, second, calendar, sessions)
            # Sources with different shifts could make sessions overlap: no bar begins before the one before it has ended.
            if ts_open == ts_close or ts_open < bar["ts_close"]:
                continue
            _start(bar, ts_open, ts_close, second["open"], second["shift"])
        _merge(bar, second)
    count = _write(number, 0, second, after, out, count)
    second["trade_count"] = 0
    return count


@_compiled
def _window(k: int, second: Any, calendar: int, sessions: Sessions) -> tuple[int, int]:
    """Open and close of the bar of interval k that holds a second; equal when there is none."""
    if k != _DAY:
        ts_open = second["ts_open"] // LENGTHS_NS[k] * LENGTHS_NS[k]
        return ts_open, ts_open + LENGTHS_NS[k]
    ts_open, ts_close = _session(calendar, second["ts_open"] - second["shift"], sessions)
    return ts_open + second["shift"], ts_close + second["shift"]


@_compiled
def _session(calendar: int, ts: int, sessions: Sessions) -> tuple[int, int]:
    if calendar == UTC_DAYS:
        return ts // DAY_NS * DAY_NS, ts // DAY_NS * DAY_NS + DAY_NS
    if calendar == NO_CALENDAR:
        return 0, 0
    low, end = sessions.starts[calendar], sessions.starts[calendar + 1]
    high = end
    while low < high:
        middle = (low + high) // 2
        if sessions.closes[middle] <= ts:
            low = middle + 1
        else:
            high = middle
    if low == end or ts < sessions.opens[low]:
        return 0, 0
    return sessions.opens[low], sessions.closes[low]


@_compiled
def _merge(bar: Any, second: Any) -> None:
    bar["high"] = max(bar["high"], second["high"])
    bar["low"] = min(bar["low"], second["low"])
    bar["close"] = second["close"]
    bar["volume"] += second["volume"]
    bar["trade_count"] += second["trade_count"]
    bar["recv"] = max(bar["recv"], second["recv"])
    bar["kind"] = max(bar["kind"], second["kind"])
    _add_notional(bar, second["notional_high"], second["notional_low"])


@_compiled
def _close_before(number: int, bars: Records, time: int, after: int, out: Records, count: int) -> int:
    """Write and empty the bars longer than a second that end at or before a time."""
    for k in range(1, INTERVAL_COUNT):
        if bars[k]["trade_count"] > 0 and bars[k]["ts_close"] <= time:
            count = _write(number, k, bars[k], after, out, count)
            bars[k]["trade_count"] = 0
    return count


@_compiled
def _write(number: int, interval: int, bar: Any, after: int, out: Records, count: int) -> int:
    if bar["ts_close"] <= after:
        return count
    row = out[count]
    row["symbol"] = number
    row["interval"] = interval
    row["ts_open"] = bar["ts_open"]
    row["ts_close"] = bar["ts_close"]
    row["open"] = bar["open"]
    row["high"] = bar["high"]
    row["low"] = bar["low"]
    row["close"] = bar["close"]
    row["volume"] = bar["volume"]
    row["vwap"] = mean_price(bar["notional_high"], bar["notional_low"], np.uint64(bar["volume"]))
    row["trade_count"] = bar["trade_count"]
    row["shift"] = bar["shift"]
    row["recv"] = bar["recv"]
    row["kind"] = bar["kind"]
    return count + 1


@_compiled
def _multiply(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Product as (high, low)."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a_low, a_high, b_low, b_high = a & mask, a >> half, b & mask, b >> half
    low, cross_1, cross_2 = a_low * b_low, a_high * b_low, a_low * b_high
    middle = (low >> half) + (cross_1 & mask) + (cross_2 & mask)
    high = a_high * b_high + (cross_1 >> half) + (cross_2 >> half) + (middle >> half)
    return high, (low & mask) | (middle << half)


@_compiled
def _add_notional(bar: Any, high: np.uint64, low: np.uint64) -> None:
    total = bar["notional_low"] + low
    bar["notional_high"] += high + np.uint64(total < low)
    bar["notional_low"] = total


@_compiled
def mean_price(high: np.uint64, low: np.uint64, volume: np.uint64) -> np.int64:
    """Notional (128 bits in two limbs) * 10**4 / volume, rounded half to even. volume: 1 to 2**63 - 1. The quotient must fit an int64."""
    scale, one, two = np.uint64(10_000), np.uint64(1), np.uint64(2)
    carry, low = _multiply(low, scale)
    high = high * scale + carry
    if high == np.uint64(0):
        quotient, rest = low // volume, low % volume
    else:
        quotient, rest = _divide(high, low, volume)
    if rest * two > volume or (rest * two == volume and quotient & one == one):
        quotient += one
    return np.int64(quotient)


@_compiled
def _divide(high: np.uint64, low: np.uint64, divisor: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Quotient and rest of a 128-bit number, high < divisor < 2**63: long division, bit by bit."""
    one = np.uint64(1)
    rest, quotient = high, np.uint64(0)
    for step in range(64):
        bit = np.uint64(63 - step)
        rest = (rest << one) | ((low >> bit) & one)
        if rest >= divisor:
            rest -= divisor
            quotient |= one << bit
    return quotient, rest
