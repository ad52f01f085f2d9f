"""Planned times: cron expressions in a time zone, and moments before or after an exchange's sessions. All UTC nanoseconds, ascending."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NS = 10**9
_SESSION = re.compile(r"(?:(\d{1,4}) minutes? (before|after)|at) the (open|close) of ([A-Z0-9]{4})")
#: Sessions are known from so many days before a question to so many after it.
_KNOWN_BEFORE, _KNOWN_AFTER = timedelta(days=400), timedelta(days=370)


class WrongTimes(Exception):
    """What was expected of a text that says when."""


class Times(Protocol):
    """When something is planned."""

    def after(self, ns: int) -> Iterator[int]:
        """Every planned time later than `ns`, in order; may be without end."""

    def date_of(self, planned_ns: int) -> date:
        """The day a planned time belongs to: its date in the time zone, or the date of its session."""

    def words(self) -> str:
        """For people."""

    @property
    def zone(self) -> str:
        """IANA name of its time zone."""


def times_of(text: str, zone: tzinfo) -> Times:
    """The times that a text means. zone: of a cron expression. Raises WrongTimes saying what was expected."""
    if (session := _SESSION.fullmatch(text.strip())) is not None:
        minutes, side, edge, exchange = session.groups()
        return SessionTimes(exchange, edge == "open", int(minutes or 0) * (-1 if side == "before" else 1))
    try:
        return CronTimes(text, zone)
    except CronSimError as error:
        raise WrongTimes(f"a cron expression of five fields ({error}), or `15 minutes after the close of XNYS`") from error


class CronTimes:
    """A cron expression, with Debian's rules where clocks change. Raises CronSimError."""

    def __init__(self, expression: str, zone: tzinfo) -> None:
        self._expression, self._zone = expression, zone
        if len(expression.split()) != 5:
            raise CronSimError("five fields are expected")
        self._words = CronSim(expression, datetime(2000, 1, 1, tzinfo=zone)).explain()

    def after(self, ns: int) -> Iterator[int]:
        """As Times says."""
        for moment in CronSim(self._expression, datetime.fromtimestamp(ns // _NS, self._zone)):
            planned = int(moment.timestamp()) * _NS
            if planned > ns:
                yield planned

    def date_of(self, planned_ns: int) -> date:
        """As Times says."""
        return datetime.fromtimestamp(planned_ns // _NS, self._zone).date()

    def words(self) -> str:
        """As Times says."""
        return f"{self._words[0].lower()}{self._words[1:]}, {self.zone}"

    @property
    def zone(self) -> str:
        """As Times says."""
        return str(self._zone)


class SessionTimes:
    """So many minutes after (negative: before) the open or the close of each session of an exchange. Raises WrongTimes for an unknown exchange."""

    def __init__(self, exchange: str, at_open: bool, minutes: int) -> None:
        self._exchange, self._at_open, self._minutes = exchange, at_open, minutes
        self._known: tuple[date, date] | None = None
        self._sessions: list[tuple[int, date]] = []
        _check_exchange(exchange)

    def after(self, ns: int) -> Iterator[int]:
        """As Times says; ends where the exchange's calendar does."""
        start = ns
        while True:
            known = self._around(start)
            first = bisect_right(known, start, key=_planned)
            if first == len(known):
                return
            yield from (planned for planned, _day in known[first:])
            start = known[-1][0]

    def date_of(self, planned_ns: int) -> date:
        """As Times says."""
        known = self._around(planned_ns)
        place = bisect_left(known, planned_ns, key=_planned)
        if place < len(known) and known[place][0] == planned_ns:
            return known[place][1]
        return datetime.fromtimestamp(planned_ns // _NS, UTC).date()

    def words(self) -> str:
        """As Times says."""
        edge = f"the {'open' if self._at_open else 'close'} of {self._exchange}"
        if self._minutes == 0:
            return f"at {edge}"
        count = abs(self._minutes)
        return f"{count} minute{'' if count == 1 else 's'} {'before' if self._minutes < 0 else 'after'} {edge}"

    @property
    def zone(self) -> str:
        """As Times says."""
        return str(_any_calendar(self._exchange).tz)

    def _around(self, ns: int) -> list[tuple[int, date]]:
        """Planned times with their sessions from about a year before `ns` to a year after."""
        day = datetime.fromtimestamp(ns // _NS, UTC).date()
        if self._known is None or not self._known[0] + timedelta(days=10) <= day <= self._known[1] - timedelta(days=30):
            self._known = (day - _KNOWN_BEFORE, day + _KNOWN_AFTER)
            self._sessions = self._read(*self._known)
        return self._sessions

    def _read(self, first: date, last: date) -> list[tuple[int, date]]:
        table = _sessions(self._exchange, first, last)
        edges: NDArray[np.int64] = table["opens" if self._at_open else "closes"]
        return [(int(edge) + self._minutes * 60 * _NS, day) for edge, day in zip(edges, table["days"], strict=True)]


def _planned(session: tuple[int, date]) -> int:
    return session[0]


def _check_exchange(exchange: str) -> None:
    # Only here: calendars bring pandas, which a process without sessions can do without.
    import exchange_calendars

    if exchange not in exchange_calendars.get_calendar_names(include_aliases=True):
        raise WrongTimes(f"an exchange of exchange_calendars by its MIC, not {exchange}")


@cache
def _any_calendar(exchange: str) -> Any:
    """Two weeks of the exchange's calendar: for what does not depend on the time."""
    import exchange_calendars

    return exchange_calendars.get_calendar(exchange, start="2020-01-06", end="2020-01-17")


@cache
def _sessions(exchange: str, first: date, last: date) -> dict[str, Any]:
    import exchange_calendars
    import pandas as pd

    factory = type(_any_calendar(exchange))
    # Some calendars know the holidays of a few years only, and refuse others.
    bound_min, bound_max = factory.bound_min(), factory.bound_max()
    start = max(pd.Timestamp(first), bound_min) if bound_min is not None else pd.Timestamp(first)
    end = min(pd.Timestamp(last), bound_max) if bound_max is not None else pd.Timestamp(last)
    schedule = exchange_calendars.get_calendar(exchange, start=start, end=end).schedule
    return {
        "days": [stamp.date() for stamp in schedule.index],
        "opens": schedule["open"].to_numpy("datetime64[ns]").astype("int64"),
        "closes": schedule["close"].to_numpy("datetime64[ns]").astype("int64"),
    }
