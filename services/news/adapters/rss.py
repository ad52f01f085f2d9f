"""Any RSS or Atom feed: as the file of feeds says, nothing else assumed. The other adapters begin with this one."""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo

from services.news.feeds.feed import Feed
from services.news.parsing import FeedItem


class RssAdapter:
    """What one kind of feed is read by."""

    reads_file = False
    """Whether it plays a file instead of asking a server."""
    assumed_zone: tzinfo | None = None
    """Zone of dates that name none, unless the file of feeds says otherwise."""

    def symbol_in_url(self, symbol: str) -> str:
        """What `{symbol}` in the address stands for. symbol: ticker dot MIC."""
        return symbol.partition(".")[0]

    def adapt(self, item: FeedItem, feed: Feed) -> FeedItem:
        """An item with what this kind of feed means by it: defaults of the file of feeds, and a summary only where it says more than the title."""
        return replace(
            item,
            publisher=item.publisher or feed.publisher,
            language=item.language or feed.language,
            summary="" if item.summary == item.title else item.summary,
        )
