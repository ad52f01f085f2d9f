"""Which articles are known: what tells a new item from one that was there before. Rebuilt from news.articles.v1, bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.news.canonical import article_id, content_hash
from services.news.domain import RULE_FEED, Article, SymbolLink
from services.news.feeds.feed import Feed
from services.news.parsing import FeedItem

#: About 0.4 KB each. A feed repeats items of days, at most weeks: months of many feeds fit.
MOST_KNOWN = 200_000


@dataclass(frozen=True, slots=True)
class _Known:
    revision: int
    feed: str
    content: bytes
    links: tuple[SymbolLink, ...]
    """Those of the rule `feed`."""
    has_date: bool
    is_recorded: bool


class KnownArticles:
    """Identities and content hashes of the last `most` articles that were published or revised."""

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._contents: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._known)

    def remember(self, article: Article) -> bool:
        """Takes note of a revision as it was published. Returns False when it, or a later one, is known already."""
        key = bytes.fromhex(article.id)
        before = self._known.get(key)
        if before is not None and before.revision >= article.revision:
            return False
        self._forget(key)
        content = content_hash(article.title, article.summary)
        links = tuple(link for link in article.links if link.rule == RULE_FEED)
        self._known[key] = _Known(article.revision, article.feed, content, links, bool(article.published_ns), article.is_recorded)
        self._contents[content] = key
        if len(self._known) > self._most:
            self._forget(next(iter(self._known)))
        return True

    def news_of(self, feed: Feed, items: Iterable[FeedItem], received_ns: int) -> list[Article]:
        """The articles that are new or changed among a feed's items, the oldest first. Changes nothing.

        An item that stands twice in the answer counts once, as it stands first.
        """
        decided: dict[str, Article] = {}
        seen: set[str] = set()
        for item in items:
            content = content_hash(item.title, item.summary)
            identity = article_id(item.url, feed.name, content)
            if identity in seen:
                continue
            seen.add(identity)
            if (article := self._article(feed, item, identity, content, received_ns)) is not None:
                decided[identity] = article
        # Feeds begin with the newest; where dates are missing their order says it.
        oldest_first = list(reversed(decided.values()))
        oldest_first.sort(key=lambda article: article.published_ns)
        return oldest_first

    def _article(self, feed: Feed, item: FeedItem, identity: str, content: bytes, received_ns: int) -> Article | None:
        before = self._known.get(bytes.fromhex(identity))
        fresh = _fresh(feed, item, identity, received_ns)
        if before is None:
            return None if not item.url and content in self._contents else fresh
        return _revised(fresh, before, content)

    def _forget(self, key: bytes) -> None:
        gone = self._known.pop(key, None)
        if gone is not None and self._contents.get(gone.content) == key:
            del self._contents[gone.content]


def _revised(fresh: Article, before: _Known, content: bytes) -> Article | None:
    """The next revision; None when the item says nothing new.

    Only the feed that brought an article first changes its text: others word the same page differently, and it would go to and fro.
    Another feed may add its symbol, and a live feed takes the place of a recorded one.
    """
    is_same_feed = fresh.feed == before.feed
    replaces_recorded = before.is_recorded and not fresh.is_recorded
    has_changed = is_same_feed and (content != before.content or (bool(fresh.published_ns) and not before.has_date))
    added = [link for link in fresh.links if link not in before.links]
    if not (has_changed or replaces_recorded or added):
        return None
    return replace(
        fresh,
        revision=before.revision + 1,
        feed=fresh.feed if replaces_recorded else before.feed,
        links=(*before.links, *added),
        is_recorded=before.is_recorded and fresh.is_recorded,
    )


def _fresh(feed: Feed, item: FeedItem, identity: str, received_ns: int) -> Article:
    return Article(
        id=identity,
        revision=0,
        feed=feed.name,
        publisher=item.publisher,
        url=item.url,
        title=item.title,
        summary=item.summary,
        received_ns=received_ns,
        published_ns=item.published.ns if item.published else 0,
        published_utc_offset_minutes=item.published.utc_offset_minutes if item.published else None,
        links=_links(feed),
        language=item.language,
        is_recorded=feed.is_recorded,
        raw=item.raw,
        raw_type=item.raw_type,
    )


def _links(feed: Feed) -> tuple[SymbolLink, ...]:
    return (SymbolLink(feed.symbol, feed.mention, RULE_FEED),) if feed.symbol else ()
