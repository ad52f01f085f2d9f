"""Investing.com's RSS: dates name no zone and are UTC; the author of an item is its source (Reuters, Investing.com)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

from services.news.adapters.rss import RssAdapter
from services.news.feeds.feed import Feed
from services.news.parsing import FeedItem


class InvestingAdapter(RssAdapter):
    """https://www.investing.com/webmaster-tools/rss."""

    assumed_zone = UTC

    def adapt(self, item: FeedItem, feed: Feed) -> FeedItem:
        """The author as publisher."""
        return super().adapt(replace(item, publisher=item.publisher or item.author), feed)
