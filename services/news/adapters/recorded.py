"""A feed that was recorded: a file in RSS or Atom, played back a few items at a time, the oldest first, without a network.

Its articles say that they are recorded. They keep the date at which they were published; they reach us when they are played.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.news.adapters.edgar import EdgarAdapter
from services.news.parsing import FeedItem


class RecordedAdapter(EdgarAdapter):
    """Plays a file. Titles of filings are read as those of EDGAR; others are none of that form."""

    reads_file = True


def played(items: Sequence[FeedItem], already: int, each: int) -> Sequence[FeedItem]:
    """The items that have been played after this time. already: how many were before; each: how many come now. Oldest first, undated ones first."""
    ordered = sorted(items, key=lambda item: item.published.ns if item.published else 0)
    return ordered[: already + each]
