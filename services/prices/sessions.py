"""Trading sessions as a table: which session of a market holds a time, which session a date has.

The table is built once, at set-up, from exchange_calendars (`python -m services.prices.sessions --build`); loading needs numpy only, because pandas and
the calendars cost every process seconds and 100 MiB. Markets of crypto currencies and the simulated one have UTC days as sessions, without a table.

A replay carries its sessions with it: look a shifted time up with `ts - replay_shift` and add `replay_shift` to the answer.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.runtime.timestamps import MAX_TIME_NS

DAY_NS = 86400 * 1_000_000_000

#: A replay moves its sessions with it, so its rows must be so far from the first and the last time that a record may hold.
LONGEST_SESSION_NS = 7 * DAY_NS

#: `calendar_of`: the market's sessions are UTC days.
UTC_DAYS = -2
#: `calendar_of`: nothing is known of the market, so its instruments have no daily bars.
NO_CALENDAR = -1

#: exchange_calendars begins twenty years ago unless told otherwise; the demonstration's files begin in 2000.
FIRST_YEAR = 1990

_US_EQUITIES = ("XNYS", "XNAS", "ARCX", "XASE", "BATS", "BATY", "EDGA", "EDGX", "IEXG", "XBOS", "XPHL", "XCHI", "MEMX", "OTCM", "OOTC")
_CME_GROUP = ("XCME", "XCBT", "XNYM", "XCEC", "GLBX")
#: MICs that are names of calendars too.
_OWN_CALENDAR = (
    *("XLON", "XETR", "XFRA", "XPAR", "XAMS", "XBRU", "XLIS", "XDUB", "XMIL", "XMAD", "XSWX", "XWBO", "XSTO", "XHEL", "XCSE", "XOSL"),
    *("XWAR", "XPRA", "XBUD", "XIST", "XTSE", "XMEX", "BVMF", "XTKS", "XHKG", "XSHG", "XKRX", "XTAI", "XBOM", "XSES", "XASX", "XNZE"),
    *("XIDX", "XKLS", "XBKK", "XJSE", "XEUR", "XCBF"),
)

#: Market identifier code -> calendar of exchange_calendars.
CALENDARS: Mapping[str, str] = {
    **dict.fromkeys(_US_EQUITIES, "XNYS"),
    **dict.fromkeys(_CME_GROUP, "CMES"),
    **{mic: mic for mic in _OWN_CALENDAR},
    "XTSX": "XTSE",
    "XSHE": "XSHG",
    "XNSE": "XBOM",
    "CHIX": "XLON",
    "IFUS": "IEPA",
    "IFEU": "IEPA",
}

#: Markets that never close: their day is the UTC day.
UTC_DAY_MICS = frozenset(("XSIM", "XCRY", "BINC", "XBIN", "CBSE", "XCBS", "KRKN", "XKRK", "XBMX", "XBIT", "BITF", "BTSP", "OKXE", "BYBT", "HUOB"))


@dataclass(frozen=True, slots=True, eq=False)
class SessionTable:
    """Sessions of all calendars, one after the other: those of calendar c are rows starts[c] to starts[c + 1], ascending, not overlapping.

    opens, closes: UTC ns, half-open, shape (sessions,). dates: days since 1970-01-01 of each session's date, shape (sessions,).
    """

    calendars: Mapping[str, int]
    starts: NDArray[np.int64]
    opens: NDArray[np.int64]
    closes: NDArray[np.int64]
    dates: NDArray[np.int64]

    @classmethod
    def load(cls, path: Path) -> SessionTable:
        """Read a table that was built. Raises OSError, or ValueError when the file is something else or holds sessions that cannot be."""
        with np.load(path, allow_pickle=False) as data:
            missing = {"names", "starts", "opens", "closes", "dates"} - set(data.files)
            if missing:
                raise ValueError(f"{path}: not a table of sessions, build it again: without {', '.join(sorted(missing))}")
            calendars = {str(name): index for index, name in enumerate(data["names"])}
            table = cls(calendars, data["starts"], data["opens"], data["closes"], data["dates"])
        if np.any((table.opens < 0) | (table.closes > MAX_TIME_NS) | (table.closes - table.opens > LONGEST_SESSION_NS)):
            raise ValueError(f"{path}: expected sessions of a week at most, from 1970 to 2199")
        return table

    @classmethod
    def utc_only(cls) -> SessionTable:
        """A table that knows the markets with UTC days only."""
        none = np.empty(0, np.int64)
        return cls({}, np.zeros(1, np.int64), none, none, none)

    def save(self, path: Path) -> None:
        """Write the table; a reader sees the old file or the new one, never a part."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        names = np.array(sorted(self.calendars, key=self.calendars.__getitem__), np.str_)
        with part.open("wb") as file:
            np.savez(file, names=names, starts=self.starts, opens=self.opens, closes=self.closes, dates=self.dates)
        part.replace(path)

    def calendar_of(self, mic: str) -> int:
        """Number of the market's calendar, UTC_DAYS, or NO_CALENDAR."""
        if mic in UTC_DAY_MICS:
            return UTC_DAYS
        return self.calendars.get(CALENDARS.get(mic, ""), NO_CALENDAR)

    def session(self, mic: str, ts_ns: int) -> tuple[int, int] | None:
        """Open and close, UTC ns, of the session that holds a time; None outside of sessions, of the table's years, or for an unknown market."""
        calendar = self.calendar_of(mic)
        if calendar == UTC_DAYS:
            open_ns = ts_ns // DAY_NS * DAY_NS
            return open_ns, open_ns + DAY_NS
        row = self._last_row(self.opens, calendar, ts_ns)
        if row is None or ts_ns >= self.closes[row]:
            return None
        return int(self.opens[row]), int(self.closes[row])

    def session_on(self, mic: str, day: date) -> tuple[int, int] | None:
        """Open and close, UTC ns, of the session of a date (a future's session opens the evening before); None when there is none."""
        calendar, days = self.calendar_of(mic), (day - date(1970, 1, 1)).days
        if calendar == UTC_DAYS:
            return days * DAY_NS, (days + 1) * DAY_NS
        row = self._last_row(self.dates, calendar, days)
        if row is None or self.dates[row] != days:
            return None
        return int(self.opens[row]), int(self.closes[row])

    def _last_row(self, column: NDArray[np.int64], calendar: int, value: int) -> int | None:
        """The calendar's last row whose column is not above the value."""
        if calendar == NO_CALENDAR:
            return None
        start, end = self.starts[calendar], self.starts[calendar + 1]
        row = int(start + np.searchsorted(column[start:end], value, "right")) - 1
        return row if row >= start else None


def default_path() -> Path:
    """Where the table is: $SIGNALBOX_HOME/tables/sessions.npz."""
    home = os.environ.get("SIGNALBOX_HOME") or Path(__file__).resolve().parents[2] / ".signalbox"
    return Path(home) / "tables" / "sessions.npz"


def build(last_year: int, names: Sequence[str] = tuple(sorted(set(CALENDARS.values())))) -> SessionTable:
    """Sessions of calendars of exchange_calendars from FIRST_YEAR, or the calendar's own first year, to the end of `last_year`. Takes seconds."""
    rows = [_sessions_of(name, last_year) for name in names]
    starts = np.cumsum([0, *(len(opens) for opens, _, _ in rows)], dtype=np.int64)
    opens, closes, dates = (np.concatenate([row[column] for row in rows]) for column in range(3))
    return SessionTable({name: index for index, name in enumerate(names)}, starts, opens, closes, dates)


def _sessions_of(name: str, last_year: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    import exchange_calendars
    import pandas as pd

    start, end = pd.Timestamp(FIRST_YEAR, 1, 1), pd.Timestamp(last_year, 12, 31)
    try:
        calendar = exchange_calendars.get_calendar(name, start=start, end=end, side="left")
    except ValueError:
        # Some calendars know fewer years. Asking each for its bounds first would double the time of the build.
        bounds = type(exchange_calendars.get_calendar(name))
        start, end = max(start, bounds.bound_min() or start), min(end, bounds.bound_max() or end)
        calendar = exchange_calendars.get_calendar(name, start=start, end=end, side="left")
    schedule = calendar.schedule
    return _ns(schedule["open"]), _ns(schedule["close"]), _ns(calendar.sessions) // DAY_NS


def _ns(times: Any) -> NDArray[np.int64]:
    import pandas as pd

    return np.asarray(pd.DatetimeIndex(times.array).tz_localize(None).as_unit("ns").asi8)


def main(arguments: list[str] | None = None) -> int:
    """`--build [--out PATH]` builds the table; without `--build` says what a table holds. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.prices.sessions", description=main.__doc__)
    parser.add_argument("--build", action="store_true", help="build the table from exchange_calendars")
    parser.add_argument("--out", type=Path, default=default_path(), help="path of the table (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    if chosen.build:
        build(datetime.now(UTC).year + 1).save(chosen.out)
    table = SessionTable.load(chosen.out)
    sys.stdout.write(f"{chosen.out}: {len(table.opens)} sessions of {len(table.calendars)} calendars\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
