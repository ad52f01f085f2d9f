"""Press releases of the Federal Reserve Board, https://www.federalreserve.gov/feeds/press_all.xml: in English, by the Board."""

from __future__ import annotations

from dataclasses import replace

from services.news.adapters.rss import RssAdapter
from services.news.feeds.feed import Feed
from services.news.parsing import FeedItem

_BOARD = "Federal Reserve Board"


class FedAdapter(RssAdapter):
    """The Board's feeds."""

    def adapt(self, item: FeedItem, feed: Feed) -> FeedItem:
        """The Board as publisher: its items name none."""
        return super().adapt(replace(item, publisher=item.publisher or feed.publisher or _BOARD, language=item.language or "en"), feed)
