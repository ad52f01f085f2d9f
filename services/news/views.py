"""What the gRPC service answers from: articles, their index, the feeds' states, all of it filled from the topics."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from services.news.article_wire import decode_article, decode_feed_state
from services.news.book import ArticleBook, Known
from services.news.domain import FeedState
from services.news.search import SearchIndex
from services.news.view_metrics import UNREADABLE_RECORDS
from services.runtime.errors import BadRecord
from services.runtime.headers import read_headers
from services.runtime.kafka import Record
from services.runtime.logging import get_logger
from services.runtime.topics import ARTICLES, NEWS_FEEDS

_log = get_logger("news")


class NewsViews:
    """The views of one reading of the topics. limit: revisions of articles kept."""

    def __init__(self, limit: int) -> None:
        self.book = ArticleBook(limit, self._forgotten)
        self.index = SearchIndex(self.book)
        self._states: dict[str, FeedState] = {}
        self._lock = threading.Lock()

    def __call__(self, records: list[Record]) -> None:
        """For TopicReader. A record that cannot be read is counted and skipped."""
        for record in records:
            try:
                self._put(record)
            except BadRecord as error:
                if record.topic == ARTICLES.name:
                    self.book.skip(record.offset)
                UNREADABLE_RECORDS.labels(record.topic).inc()
                _log.warning("record skipped", topic=record.topic, partition=record.partition, offset=record.offset, reason=str(error))

    def feed_states(self) -> dict[str, FeedState]:
        """The last state of each feed, by name."""
        with self._lock:
            return dict(self._states)

    def _put(self, record: Record) -> None:
        if record.topic == NEWS_FEEDS.name:
            state = decode_feed_state(record.value)
            with self._lock:
                self._states[state.name] = state
            return
        known = self.book.add(decode_article(record.value), record.offset, read_headers(record.headers).traceparent or "")
        if known is not None:
            self.index.add(known)

    def _forgotten(self, gone: Sequence[Known]) -> None:
        self.index.forget(gone)
