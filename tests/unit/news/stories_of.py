"""Articles for the tests of grouping, linking and answering."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from services.news.domain import Article

SECOND_NS = 10**9
HOUR_NS = 3_600 * SECOND_NS
START_NS = 1_760_000_000 * SECOND_NS


def article(number: int, title: str = "", *, at_ns: int | None = None, **changes: Any) -> Article:
    """The article with this number, received so many seconds after the start."""
    received = START_NS + number * SECOND_NS if at_ns is None else at_ns
    plain = Article(id=f"a{number:04d}", revision=0, feed="feed", publisher="", url="", title=title or f"Title {number}", summary="", received_ns=received)
    return replace(plain, **changes)
