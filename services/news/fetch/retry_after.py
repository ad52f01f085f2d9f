"""Retry-After: seconds or a date."""

from __future__ import annotations

from services.news.dates import read_date

#: A server that asks for more gets this: its feed would be lost to a mistaken header.
MAX_SECONDS = 86_400.0


def retry_after_s(value: str, now_ns: int) -> float | None:
    """Seconds to stay away, 0 to MAX_SECONDS; None when there is no such header or it cannot be read. now_ns: UTC nanoseconds."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(MAX_SECONDS, float(value[:9]))
    moment = read_date(value)
    return None if moment is None else min(MAX_SECONDS, max(0.0, (moment.ns - now_ns) / 1e9))
