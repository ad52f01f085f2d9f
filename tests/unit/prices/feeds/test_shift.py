"""Where a replay goes on after a stop, a crash, or a change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.prices.feeds.ports import NS, WEEK_NS, Stored
from services.prices.feeds.shift import Start, end_of_bars, resume, weeks_after
from services.prices.sessions import SessionTable
from services.runtime.timestamps import MAX_TIME_NS

#: Ten rows, ten seconds apart, from 2013-09-01; the last five are replayed.
_TS = np.arange(10, dtype=np.int64) * 10 * NS + 1_378_000_000 * NS
_LIVE = 5


@given(first=st.integers(0, 2**61), floor=st.integers(0, 2**61))
def test_the_shift_is_the_smallest_whole_number_of_weeks_that_reaches_the_floor(first: int, floor: int) -> None:
    shift = weeks_after(first, floor)
    assert shift >= 0
    assert shift % WEEK_NS == 0
    assert first + shift >= floor
    assert shift == 0 or first + shift - WEEK_NS < floor


def test_nothing_stored_starts_with_the_first_row() -> None:
    assert resume(_TS, _LIVE, Stored()) == Start(0, 0)


@given(sent=st.integers(0, 4), ended=st.booleans())
def test_an_interrupted_history_is_continued(sent: int, ended: bool) -> None:
    stored = Stored(last_seq=sent, last_ts=int(_TS[sent - 1]) if sent else 0, watermark=int(_TS[sent]), ended=ended)
    assert resume(_TS, _LIVE, stored) == Start(sent, 0)


@given(sent=st.integers(5, 9), weeks=st.integers(0, 500))
def test_a_killed_replay_continues_in_the_middle(sent: int, weeks: int) -> None:
    shift = weeks * WEEK_NS
    stored = Stored(last_seq=sent, last_ts=int(_TS[sent - 1]) + shift, replay_shift=shift, watermark=int(_TS[sent]) + shift)
    assert resume(_TS, _LIVE, stored) == Start(sent, shift)


@given(sent=st.integers(6, 10), weeks=st.integers(0, 500))
def test_a_stopped_replay_begins_a_new_loop_after_what_is_stored(sent: int, weeks: int) -> None:
    shift = weeks * WEEK_NS
    stored = Stored(last_seq=sent, last_ts=int(_TS[sent - 1]) + shift, replay_shift=shift, watermark=int(_TS[sent - 1]) + shift, ended=True)
    assert resume(_TS, _LIVE, stored) == Start(_LIVE, shift + WEEK_NS)


def test_killed_after_the_last_row_of_a_loop_the_next_loop_begins() -> None:
    promise = int(_TS[_LIVE]) + WEEK_NS
    assert resume(_TS, _LIVE, Stored(last_seq=10, last_ts=int(_TS[-1]), watermark=promise)) == Start(_LIVE, WEEK_NS)


def test_when_another_source_moved_the_symbol_on_a_new_loop_begins_after_it() -> None:
    stored = Stored(last_seq=2, last_ts=int(_TS[1]), watermark=int(_TS[1]), symbol_watermark=int(_TS[9]) + 2 * WEEK_NS)
    assert resume(_TS, _LIVE, stored) == Start(_LIVE, 3 * WEEK_NS)


def test_when_the_ticks_are_gone_the_symbols_snapshot_decides() -> None:
    assert resume(_TS, _LIVE, Stored(symbol_watermark=int(_TS[9]))) == Start(_LIVE, WEEK_NS)


def test_a_file_that_became_shorter_begins_a_new_loop() -> None:
    assert resume(_TS, _LIVE, Stored(last_seq=50, last_ts=int(_TS[9]))) == Start(_LIVE, WEEK_NS)


@given(
    sent=st.integers(0, 12),
    weeks=st.integers(0, 50),
    ahead=st.integers(-20, 20),
    ended=st.booleans(),
    symbol_weeks=st.integers(0, 60),
)
def test_the_first_row_is_never_below_what_was_promised(sent: int, weeks: int, ahead: int, ended: bool, symbol_weeks: int) -> None:
    last = int(_TS[min(sent, 10) - 1]) + weeks * WEEK_NS if sent else 0
    stored = Stored(sent, last, weeks * WEEK_NS, max(0, last + ahead * NS), ended, symbol_weeks * WEEK_NS)
    start = resume(_TS, _LIVE, stored)
    assert start.shift % WEEK_NS == 0
    assert int(_TS[start.row]) + start.shift >= max(stored.watermark, stored.symbol_watermark)


_HOUR = 3_600 * NS
#: Sessions of New York, 13:30 to 20:00 of two days.
_OPENS = np.array([381, 405], np.int64) * _HOUR + 30 * 60 * NS
_SESSIONS = SessionTable({"XNYS": 0}, np.array([0, 2]), _OPENS, _OPENS + 6 * _HOUR + 30 * 60 * NS, np.array([15, 16]))


@pytest.mark.parametrize(
    ("symbols", "last_h", "weeks", "end_h"),
    [
        (["BAC.XNYS"], 382.5, 0, 388),
        (["BAC.XNYS"], 382.5, 3, 388),
        (["BAC.XNYS"], 388, 0, 389),  # after the session
        (["BAC.XNYS"], 390, 0, 391),  # between two
        (["BTC.XKRK"], 382.5, 0, 384),
        (["BAC.XNYS", "BTC.XKRK"], 382.5, 0, 388),
        (["BAC.XNYS", "BTC.XKRK"], 390, 0, 408),
        (["A.UNKNOWN"], 382.5, 0, 383),
        (["A.UNKNOWN"], 382, 0, 383),
    ],
)
def test_a_file_ends_with_the_longest_bar_that_its_last_row_is_in(symbols: list[str], last_h: float, weeks: int, end_h: int) -> None:
    shift = weeks * WEEK_NS
    assert end_of_bars(symbols, round(last_h * _HOUR) + shift, shift, _SESSIONS) == end_h * _HOUR + shift


def test_no_end_is_later_than_our_records_can_say() -> None:
    assert end_of_bars(["BTC.XKRK"], MAX_TIME_NS - 1, 0, _SESSIONS) == MAX_TIME_NS - 1
