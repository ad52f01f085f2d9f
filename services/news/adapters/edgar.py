"""SEC EDGAR's Atom feeds of filings. A title is `8-K - Company Name (CIK) (Filer)`; the number and the role are left to the link.

The SEC asks for at most ten requests a second and a User-Agent with an address: SIGNALBOX_NEWS_CONTACT.
"""

from __future__ import annotations

import re
from dataclasses import replace

from services.news.adapters.rss import RssAdapter
from services.news.feeds.feed import Feed
from services.news.parsing import FeedItem

_TITLE = re.compile(r"^(?P<form>\S.{0,30}?) - (?P<company>.+?) \(\d{10}\) \([A-Za-z ]+\)$")


class EdgarAdapter(RssAdapter):
    """https://www.sec.gov/cgi-bin/browse-edgar?action=getcurrent&output=atom."""

    def adapt(self, item: FeedItem, feed: Feed) -> FeedItem:
        """The company first, then what it filed: `Prologis, Inc.: 8-K`."""
        found = _TITLE.match(item.title)
        title = f"{found['company']}: {found['form']}" if found else item.title
        return super().adapt(replace(item, title=title), feed)
