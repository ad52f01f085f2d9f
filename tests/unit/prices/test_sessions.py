"""Session tables equal exchange_calendars, and the days that are easy to get wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import exchange_calendars
import numpy as np
import pandas as pd
import pytest

from services.prices import sessions
from services.prices.sessions import CALENDARS, DAY_NS, NO_CALENDAR, UTC_DAYS, SessionTable
from services.runtime.timestamps import MAX_TIME_NS

SECOND = 1_000_000_000


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> SessionTable:
    """Built, written and read again."""
    path = tmp_path_factory.mktemp("tables") / "deeper" / "sessions.npz"
    sessions.build(2027, ("XNYS", "CMES", "XTKS", "XLON")).save(path)
    return SessionTable.load(path)


@pytest.mark.parametrize(
    ("mic", "day", "ts_open", "ts_close"),
    [
        ("XNAS", date(2000, 3, 1), "2000-03-01 14:30", "2000-03-01 21:00"),
        ("XNYS", date(2012, 7, 3), "2012-07-03 13:30", "2012-07-03 17:00"),
        ("XNYS", date(2013, 11, 29), "2013-11-29 14:30", "2013-11-29 18:00"),
        ("XNYS", date(2026, 11, 23), "2026-11-23 14:30", "2026-11-23 21:00"),
        # Labor Day: the session that opens on Sunday evening in Chicago halts at noon, the next opens in the evening.
        ("XCME", date(2013, 9, 2), "2013-09-01 22:00", "2013-09-02 17:00"),
        ("XCME", date(2013, 9, 3), "2013-09-02 22:00", "2013-09-03 22:00"),
        ("XCME", date(2026, 11, 23), "2026-11-22 23:00", "2026-11-23 23:00"),
        ("XTKS", date(2013, 9, 3), "2013-09-03 00:00", "2013-09-03 06:00"),
        ("XLON", date(2013, 9, 3), "2013-09-03 07:00", "2013-09-03 15:30"),
        ("XSIM", date(2013, 9, 3), "2013-09-03 00:00", "2013-09-04 00:00"),
        ("BINC", date(1969, 12, 31), "1969-12-31 00:00", "1970-01-01 00:00"),
    ],
)
def test_days(table: SessionTable, mic: str, day: date, ts_open: str, ts_close: str) -> None:
    expected = ns(ts_open), ns(ts_close)
    assert table.session_on(mic, day) == expected
    assert table.session(mic, expected[0]) == expected
    assert table.session(mic, expected[1] - 1) == expected
    assert table.session(mic, expected[1]) != expected
    assert table.session(mic, expected[0] - 1) != expected


@pytest.mark.parametrize(
    ("mic", "day"), [("XNYS", date(2013, 9, 2)), ("XNYS", date(2013, 9, 1)), ("XNYS", date(1980, 1, 2)), ("XNYS", date(2050, 1, 3)), ("XXXX", date(2013, 9, 3))]
)
def test_days_without_a_session(table: SessionTable, mic: str, day: date) -> None:
    assert table.session_on(mic, day) is None
    noon = (day - date(1970, 1, 1)).days * DAY_NS + DAY_NS * 2 // 3
    assert table.session(mic, noon) is None


def test_between_the_halt_and_the_evening_there_is_no_session(table: SessionTable) -> None:
    assert table.session("XCME", ns("2013-09-02 17:00")) is None
    assert table.session("XCME", ns("2013-09-02 21:59:59")) is None


@pytest.mark.parametrize(("mic", "calendar"), [("XNAS", "XNYS"), ("XCME", "CMES")])
def test_table_equals_the_calendar(table: SessionTable, mic: str, calendar: str) -> None:
    schedule = exchange_calendars.get_calendar(calendar, start="1990-01-01", end="2027-12-31", side="left").schedule
    number = table.calendar_of(mic)
    rows = slice(table.starts[number], table.starts[number + 1])
    for column, ours in (("open", table.opens), ("close", table.closes)):
        expected = pd.DatetimeIndex(schedule[column].array).tz_localize(None).as_unit("ns").asi8
        np.testing.assert_array_equal(ours[rows], expected)
    assert [date(1970, 1, 1).toordinal() + int(day) for day in table.dates[rows][:3]] == [day.toordinal() for day in schedule.index[:3]]


def test_calendars_of_markets(table: SessionTable) -> None:
    assert table.calendar_of("XSIM") == table.calendar_of("XCRY") == UTC_DAYS
    assert table.calendar_of("XXXX") == NO_CALENDAR
    assert table.calendar_of("XNAS") == table.calendar_of("XNYS")


def test_every_calendar_is_known_to_exchange_calendars() -> None:
    assert set(CALENDARS.values()) <= set(exchange_calendars.get_calendar_names())


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz: not a table of sessions"):
        SessionTable.load(tmp_path / "other.npz")


@pytest.mark.parametrize(("ts_open", "ts_close"), [(-1, 5), (0, 7 * DAY_NS + 1), (MAX_TIME_NS - 5, MAX_TIME_NS + 1)])
def test_a_table_with_sessions_that_no_bar_may_have_is_refused(tmp_path: Path, ts_open: int, ts_close: int) -> None:
    path = tmp_path / "sessions.npz"
    SessionTable({"CMES": 0}, np.array([0, 1]), np.array([ts_open]), np.array([ts_close]), np.zeros(1, np.int64)).save(path)
    with pytest.raises(ValueError, match="expected sessions of a week at most, from 1970 to 2199"):
        SessionTable.load(path)
