"""What the crawl knows, as the topics say it: known articles, the enricher's stories, the states of feeds. Kafka is the truth; this follows it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from services.news import metrics
from services.news.article_wire import decode_article, decode_feed_state
from services.news.domain import Article, FeedState
from services.news.feeds.feed import Feed
from services.news.known import MOST_KNOWN, KnownArticles
from services.news.parsing import FeedItem
from services.news.ports import Enricher
from services.runtime.errors import BadRecord
from services.runtime.kafka import Record
from services.runtime.logging import get_logger
from services.runtime.topics import ARTICLES

_log = get_logger("news")


class Newsroom:
    """Safe from any thread. Taking a record twice is as taking it once. feeds: names of those that are read now; the topic may know others."""

    def __init__(self, enricher: Enricher, feeds: Collection[str] = (), most_known: int = MOST_KNOWN) -> None:
        self._enricher, self._feeds, self._known = enricher, frozenset(feeds), KnownArticles(most_known)
        self._states: dict[str, FeedState] = {}
        self._lock = threading.Lock()

    def take(self, records: Sequence[Record]) -> None:
        """Takes records of news.articles.v1 and news.feeds.v1, in order. One that cannot be read is counted and left out."""
        for record in records:
            try:
                self._take(record)
            except BadRecord as error:
                metrics.BAD_RECORDS.labels(record.topic).inc()
                _log.warning("record left out", topic=record.topic, offset=record.offset, why=error.why)

    def _take(self, record: Record) -> None:
        if record.topic == ARTICLES.name:
            self.remember(decode_article(record.value))
        else:
            self.set_state(decode_feed_state(record.value))

    def remember(self, article: Article) -> None:
        """Takes note of an article that was published."""
        with self._lock:
            if self._known.remember(article):
                self._enricher.remember(article)
            metrics.KNOWN.set(len(self._known))

    def news_of(self, feed: Feed, items: Sequence[FeedItem], received_ns: int) -> Sequence[Article]:
        """The new and changed articles among a feed's items, enriched, the oldest first. Remembers nothing."""
        with self._lock:
            return self._enricher.enrich(self._known.news_of(feed, items, received_ns))

    def state(self, name: str) -> FeedState:
        """A feed's state; an empty one for a feed that was never tried."""
        with self._lock:
            return self._states.get(name) or FeedState(name)

    def set_state(self, state: FeedState) -> None:
        """Keeps a feed's state, unless a later one is known."""
        with self._lock:
            known = self._states.get(state.name)
            if known is None or known.attempt_ns <= state.attempt_ns:
                self._states[state.name] = state
            metrics.FAILING.set(sum(bool(each.error) for each in self._states.values() if each.name in self._feeds))
