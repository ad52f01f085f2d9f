"""Where a replay goes on: at which row, moved by how many whole weeks. And where it ends."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.prices.feeds.ports import NS, WEEK_NS, Int64Array, Stored
from services.prices.instruments import mic_of
from services.prices.sessions import SessionTable
from services.runtime.timestamps import MAX_TIME_NS

#: The longest bar that is no session.
_HOUR_NS = 3_600 * NS


@dataclass(frozen=True, slots=True)
class Start:
    """The first row to send (index, may be the number of rows) and the shift of its loop in nanoseconds."""

    row: int
    shift: int


def weeks_after(first: int, floor: int) -> int:
    """The smallest whole number of weeks, >= 0, that moves `first` to `floor` or later. All in nanoseconds; returns nanoseconds."""
    return max(0, -((first - floor) // WEEK_NS)) * WEEK_NS


def end_of_bars(symbols: Iterable[str], last: int, shift: int, sessions: SessionTable) -> int:
    """Where the last of the symbols' bars end that hold a row at or before `last` and are open there.

    last: event time, shift included. All in nanoseconds. It is no later than that, so that a file with the next day finds its place behind it.
    """
    original = last // NS * NS - shift
    ends = [found[1] + shift for mic in {mic_of(symbol) for symbol in symbols} if (found := sessions.session(mic, original))]
    return min(max([*ends, (last // _HOUR_NS + 1) * _HOUR_NS]), MAX_TIME_NS - 1)


def resume(ts_event: Int64Array, live_row: int, stored: Stored) -> Start:
    """Where to start a file whose rows before `live_row` are history.

    ts_event: original event times, not decreasing. Nothing stored: from the first row. History not complete, or the process was killed in
    the middle of a loop: the row after the last one stored, same shift. Otherwise a new loop from `live_row`, after everything stored.
    """
    if stored == Stored():
        return Start(0, 0)
    if _can_continue(ts_event, live_row, stored):
        return Start(stored.last_seq, stored.replay_shift)
    return Start(live_row, weeks_after(int(ts_event[live_row]), stored.floor))


def _can_continue(ts_event: Int64Array, live_row: int, stored: Stored) -> bool:
    row = stored.last_seq
    if row >= len(ts_event) or (stored.ended and row >= live_row):
        return False
    # Another source, or a file that has changed, may have moved the symbol on: then the row would be late.
    return int(ts_event[row]) + stored.replay_shift >= max(stored.watermark, stored.symbol_watermark)
