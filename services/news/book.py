"""All revisions of articles in memory, asked as of a time: what was known then, by the time at which each revision reached us."""

from __future__ import annotations

import heapq
import sys
import threading
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.news.domain import Article
from services.news.view_metrics import ARTICLES_FORGOTTEN, ARTICLES_KEPT, ARTICLES_REPEATED

#: Receive time and offset of a record: the order in which things became known.
Place = tuple[int, int]

#: How much more than the limit may be there before the oldest go, all at once; a part of the limit.
_SLACK = 0.02


@dataclass(frozen=True, slots=True)
class Known:
    """A revision as it is kept: without the raw item."""

    article: Article
    offset: int
    """Of its record."""
    traceparent: str = ""

    @property
    def place(self) -> Place:
        """Where it stands in the order of things known."""
        return self.article.received_ns, self.offset


@dataclass(frozen=True, slots=True)
class View:
    """The moment that a question is about: revisions received until `as_of_ns` whose records lie before `until_offset`."""

    as_of_ns: int
    until_offset: int
    """Holds the pages of an answer together while new articles arrive."""

    def has(self, known: Known) -> bool:
        """Whether a revision was known at this moment."""
        return known.article.received_ns <= self.as_of_ns and known.offset < self.until_offset


@dataclass(frozen=True, slots=True)
class StoryView:
    """A story as of a time."""

    id: str
    articles: tuple[Known, ...]
    """First received first."""
    first_received_ns: int
    last_received_ns: int


class ArticleBook:
    """Written by a reader's thread, asked from others; every answer is consistent.

    limit: revisions kept; beyond it those that were received first go. on_forgotten: told the places that go, under the book's lock.
    """

    def __init__(self, limit: int, on_forgotten: Callable[[Sequence[Known]], None] | None = None) -> None:
        self._limit, self._on_forgotten = limit, on_forgotten
        self._lock = threading.Lock()
        self._at: dict[Place, Known] = {}
        self._order: list[Place] = []
        self._by_symbol: dict[str, list[Place]] = {}
        self._by_feed: dict[str, list[Place]] = {}
        self._by_story: dict[str, list[Place]] = {}
        self._revisions: dict[str, list[Known]] = {}
        self._brought: Counter[str] = Counter()
        self._next_offset = 0

    def __len__(self) -> int:
        return len(self._at)

    def add(self, article: Article, offset: int, traceparent: str = "") -> Known | None:
        """Adds a revision; None when it was there already."""
        known = Known(_slim(article), offset, traceparent)
        with self._lock:
            self._next_offset = max(self._next_offset, offset + 1)
            revisions = self._revisions.setdefault(article.id, [])
            if any(each.article.revision == article.revision for each in revisions):
                ARTICLES_REPEATED.inc()
                return None
            insort(revisions, known, key=lambda each: each.article.revision)
            if article.revision == 0:
                self._brought[article.feed] += 1
            self._at[known.place] = known
            for places in self._indexes(known.article):
                insort(places, known.place)
            if len(self._at) > self._limit * (1 + _SLACK):
                self._forget(len(self._at) - self._limit)
            ARTICLES_KEPT.set(len(self._at))
        return known

    def skip(self, offset: int) -> None:
        """Notes that a record was read that holds nothing of use."""
        with self._lock:
            self._next_offset = max(self._next_offset, offset + 1)

    def next_offset(self) -> int:
        """First record that is not in the book."""
        with self._lock:
            return self._next_offset

    def brought(self) -> dict[str, int]:
        """Articles by the feed that brought them first, over everything that was ever added."""
        with self._lock:
            return dict(self._brought)

    def at(self, place: Place) -> Known | None:
        """The revision at a place; None when it is gone."""
        with self._lock:
            return self._at.get(place)

    def page(self, view: View, *, symbols: Sequence[str], feeds: Sequence[str], start_ns: int, end_ns: int, before: Place | None, limit: int) -> list[Known]:
        """Articles, each in its newest revision of that moment, newest received first; received in [start_ns, end_ns), at most `limit`.

        symbols, feeds: one of them each; empty for all. before: the last place of the page before.
        """
        highest = min((view.as_of_ns + 1, -1), (end_ns, -1), before or (end_ns, -1))
        found: list[Known] = []
        with self._lock:
            for place in self._newest_first(self._chosen(symbols, feeds), highest):
                if place[0] < start_ns or len(found) == limit:
                    break
                known = self._at[place]
                if (not feeds or known.article.feed in feeds) and self._is_current(known, view):
                    found.append(known)
        return found

    def story(self, story_id: str, view: View) -> StoryView | None:
        """A story as of a moment; None when nothing of it was known then."""
        with self._lock:
            candidates = {self._at[place].article.id for place in self._by_story.get(story_id, ())}
            members = [known for article_id in candidates if (known := self._current(article_id, view)) and known.article.story_id == story_id]
            if not members:
                return None
            arrived = {known.article.id: min(each.place for each in self._revisions[known.article.id]) for known in members}
        members.sort(key=lambda known: arrived[known.article.id])
        times = [arrived[known.article.id][0] for known in members]
        return StoryView(story_id, tuple(members), times[0], times[-1])

    def is_current(self, known: Known, view: View) -> bool:
        """Whether a revision was the newest of its article at a moment."""
        with self._lock:
            return self._is_current(known, view)

    def _is_current(self, known: Known, view: View) -> bool:
        return view.has(known) and self._current(known.article.id, view) is known

    def _current(self, article_id: str, view: View) -> Known | None:
        return next((each for each in reversed(self._revisions.get(article_id, ())) if view.has(each)), None)

    def _chosen(self, symbols: Sequence[str], feeds: Sequence[str]) -> list[list[Place]]:
        if symbols:
            return [self._by_symbol.get(symbol, []) for symbol in symbols]
        if feeds:
            return [self._by_feed.get(feed, []) for feed in feeds]
        return [self._order]

    @staticmethod
    def _newest_first(lists: Iterable[list[Place]], highest: Place) -> Iterator[Place]:
        """Places below `highest` from the newest on, each once."""
        last = None
        for place in heapq.merge(*(_down(places, bisect_left(places, highest)) for places in lists), reverse=True):
            if place != last:
                yield place
            last = place

    def _indexes(self, article: Article) -> Iterator[list[Place]]:
        yield self._order
        yield self._by_feed.setdefault(article.feed, [])
        yield self._by_story.setdefault(article.story_id, [])
        for symbol in {link.symbol for link in article.links}:
            yield self._by_symbol.setdefault(symbol, [])

    def _forget(self, count: int) -> None:
        gone = [self._at.pop(place) for place in self._order[:count]]
        last = gone[-1].place
        for known in gone:
            revisions = self._revisions[known.article.id]
            revisions.remove(known)
            if not revisions:
                del self._revisions[known.article.id]
        del self._order[:count]
        _cut(self._by_feed, {known.article.feed for known in gone}, last)
        _cut(self._by_story, {known.article.story_id for known in gone}, last)
        _cut(self._by_symbol, {link.symbol for known in gone for link in known.article.links}, last)
        ARTICLES_FORGOTTEN.inc(count)
        if self._on_forgotten is not None:
            self._on_forgotten(gone)


def _down(places: Sequence[Place], stop: int) -> Iterator[Place]:
    for index in range(stop - 1, -1, -1):
        yield places[index]


def _cut(index: dict[str, list[Place]], names: Iterable[str], last: Place) -> None:
    """Takes away what lies at or before `last`."""
    for name in names:
        places = index[name]
        del places[: bisect_right(places, last)]
        if not places:
            del index[name]


def _slim(article: Article) -> Article:
    """Without the raw item, and with the words that many articles share kept once."""
    return replace(
        article,
        raw=b"",
        raw_type="",
        feed=sys.intern(article.feed),
        publisher=sys.intern(article.publisher),
        language=sys.intern(article.language),
        scorer=sys.intern(article.scorer),
        sentiment_label=sys.intern(article.sentiment_label),
    )
