"""Days of sessions, as whole days since 1970.

A daily bar belongs to the day, in UTC, on which it closes: true of every venue whose session ends before midnight UTC or at it, those that open on the
evening before included.
"""

from __future__ import annotations

from datetime import date

import numpy as np

from services.reports.daily.model import IntArray

DAY_NS = 86_400 * 10**9
_EPOCH = date(1970, 1, 1)


def session_days(ts_close: IntArray) -> IntArray:
    """Days of bars by their close times, UTC nanoseconds; shape (n,)."""
    days: IntArray = (ts_close - 1) // DAY_NS
    return days


def day_number(text: str) -> int:
    """`2013-03-01` -> days since 1970. Raises ValueError."""
    return (date.fromisoformat(text) - _EPOCH).days


def day_text(number: int) -> str:
    """Days since 1970 -> `2013-03-01`."""
    return str(np.datetime64(int(number), "D"))


def day_texts(numbers: IntArray) -> tuple[str, ...]:
    """The same for many."""
    return tuple(np.datetime_as_string(numbers.astype("datetime64[D]")).tolist()) if len(numbers) else ()
