"""Which of the recorded articles are of the day."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from services.reports.daily.model import News, NewsItem
from services.reports.daily.recorded import InputHead

_HOUR_NS = 3_600 * 10**9
#: From the beginning of a Friday to Monday's report at eight, and some hours more.
_WINDOW_NS = 84 * _HOUR_NS
_MAX_OF_DAY, _MAX_LATEST = 200, 20


def day_start_ns(day: str, time_zone: str) -> int:
    """UTC nanoseconds at which a day begins in a zone."""
    begin = date.fromisoformat(day)
    return int(datetime(begin.year, begin.month, begin.day, tzinfo=ZoneInfo(time_zone)).timestamp()) * 10**9


def news_of(head: InputHead) -> News:
    """Of the day: published, or received where the publisher gave no date, from its beginning to the recording, at most 84 hours later."""
    begin = day_start_ns(head.date, head.time_zone)
    end = min(head.recorded_ns, begin + _WINDOW_NS)
    of_day = [item for item in head.articles if begin <= _when(item) <= end]
    return News(
        of_day=tuple(sorted(of_day, key=lambda item: (-_when(item), item.id))[:_MAX_OF_DAY]),
        latest=tuple(sorted(head.articles, key=lambda item: (-_when(item), item.id))[:_MAX_LATEST]),
    )


def _when(item: NewsItem) -> int:
    return item.published_ns or item.received_ns


def about(symbol: str, items: tuple[NewsItem, ...]) -> tuple[NewsItem, ...]:
    """The articles about a symbol."""
    return tuple(item for item in items if symbol in item.symbols)
