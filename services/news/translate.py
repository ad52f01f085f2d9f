"""Protobuf to domain and back; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from signalbox.news.v1 import news_service_pb2 as pb

from services.news.book import Known, StoryView
from services.news.domain import FeedState
from services.news.feeds.feed import Feed
from services.runtime.errors import InvalidArgument
from services.runtime.timestamps import MAX_TIME_NS, checked_nanoseconds, timestamp

_NS = 10**9
_SYMBOL = re.compile(r"[A-Z0-9_=^-]+\.[A-Z0-9_=^-]+")
_MAX_SYMBOL = 32
_MAX_NAMES = 100
_MAX_FEED = 100
_MAX_QUERY = 500
_MAX_ID = 200
_DEFAULT_PAGE, _MAX_PAGE = 50, 500
_DEFAULT_HITS, _MAX_HITS_PAGE = 20, 200
_RECORDED = "recorded"
#: Bytes of articles in an answer. As JSON it may be several times as long, and the edge cannot transcode more than a MiB.
MAX_ANSWER_BYTES = 384 << 10

_TimedRequest = pb.ListArticlesRequest | pb.GetStoryRequest | pb.SearchArticlesRequest


@dataclass(frozen=True, slots=True)
class ArticleQuery:
    """Which articles are asked for. Times are UTC nanoseconds."""

    symbols: tuple[str, ...]
    feeds: tuple[str, ...]
    start_ns: int
    end_ns: int
    as_of_ns: int
    page_size: int


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """Which text is looked for."""

    text: str
    as_of_ns: int
    page_size: int


def article_query(request: pb.ListArticlesRequest) -> ArticleQuery:
    """Raises InvalidArgument."""
    for field, names in (("symbols", request.symbols), ("feeds", request.feeds)):
        if len(names) > _MAX_NAMES:
            raise InvalidArgument(field, len(names), f"at most {_MAX_NAMES}")
    for symbol in request.symbols:
        if len(symbol) > _MAX_SYMBOL or not _SYMBOL.fullmatch(symbol):
            raise InvalidArgument("symbols", symbol, f"ticker dot MIC as in AAPL.XNAS, at most {_MAX_SYMBOL} characters")
    for feed in request.feeds:
        if not 1 <= len(feed) <= _MAX_FEED:
            raise InvalidArgument("feeds", feed, f"a name of 1 to {_MAX_FEED} characters")
    start, end = _time(request, "start", 0), _time(request, "end", MAX_TIME_NS)
    if start > end:
        raise InvalidArgument("end", end, f"a time not before start ({start})")
    size = _page_size(request.page_size, _DEFAULT_PAGE, _MAX_PAGE)
    return ArticleQuery(tuple(sorted(set(request.symbols))), tuple(sorted(set(request.feeds))), start, end, as_of(request), size)


def search_query(request: pb.SearchArticlesRequest) -> SearchQuery:
    """Raises InvalidArgument for all but the query's syntax, which the index knows."""
    if not 1 <= len(request.query) <= _MAX_QUERY or not request.query.strip():
        raise InvalidArgument("query", request.query, f"1 to {_MAX_QUERY} characters, not only spaces")
    return SearchQuery(request.query, as_of(request), _page_size(request.page_size, _DEFAULT_HITS, _MAX_HITS_PAGE))


def story_id(request: pb.GetStoryRequest) -> str:
    """Raises InvalidArgument."""
    if not 1 <= len(request.id) <= _MAX_ID:
        raise InvalidArgument("id", request.id, f"1 to {_MAX_ID} characters")
    return request.id


def as_of(request: _TimedRequest) -> int:
    """UTC nanoseconds; when absent a time that is later than every article. Raises InvalidArgument."""
    return _time(request, "as_of", MAX_TIME_NS)


def _page_size(asked: int, default: int, most: int) -> int:
    if not 0 <= asked <= most:
        raise InvalidArgument("page_size", asked, f"0 to {most}")
    return asked or default


def _time(request: _TimedRequest, field: str, absent: int) -> int:
    if not request.HasField(field):
        return absent
    return checked_nanoseconds(field, getattr(request, field))


def _optional_timestamp(ns: int) -> Timestamp | None:
    return timestamp(ns) if ns else None


def article_message(known: Known) -> pb.Article:
    """An article as it is answered."""
    article = known.article
    return pb.Article(
        id=article.id,
        revision=article.revision,
        feed=article.feed,
        publisher=article.publisher,
        url=article.url,
        title=article.title,
        summary=article.summary,
        published_at=_optional_timestamp(article.published_ns),
        published_utc_offset_minutes=article.published_utc_offset_minutes,
        received_at=timestamp(article.received_ns),
        story_id=article.story_id,
        links=[pb.SymbolLink(symbol=link.symbol, mention=link.mention, rule=link.rule) for link in article.links],
        sentiment=pb.Sentiment(score=article.sentiment, label=article.sentiment_label, scorer=article.scorer),
        language=article.language,
        is_recorded=article.is_recorded,
        traceparent=known.traceparent,
    )


def article_messages(page: Sequence[Known]) -> list[pb.Article]:
    """The first articles of a page, as many as an answer has room for; at least one of them if there are any."""
    messages: list[pb.Article] = []
    room = MAX_ANSWER_BYTES
    for known in page:
        message = article_message(known)
        room -= message.ByteSize()
        if room < 0 and messages:
            break
        messages.append(message)
    return messages


def story_message(story: StoryView) -> pb.Story:
    """A story as it is answered: with all its articles, and without summaries where those leave no room for all."""
    articles = [article_message(known) for known in story.articles]
    if sum(article.ByteSize() for article in articles) > MAX_ANSWER_BYTES:
        for article in articles:
            article.ClearField("summary")
    return pb.Story(
        id=story.id,
        title=story.articles[0].article.title,
        articles=articles,
        first_received_at=timestamp(story.first_received_ns),
        last_received_at=timestamp(story.last_received_ns),
    )


def feed_messages(feeds: Sequence[Feed], states: dict[str, FeedState], brought: dict[str, int]) -> list[pb.Feed]:
    """The configured feeds with their states, by name. brought: articles by feed."""
    return [_feed(feed, states.get(feed.name), brought.get(feed.name, 0)) for feed in sorted(feeds, key=lambda feed: feed.name)]


def _feed(feed: Feed, state: FeedState | None, articles: int) -> pb.Feed:
    known = state or FeedState(feed.name)
    return pb.Feed(
        name=feed.name,
        url=feed.url,
        adapter=feed.adapter,
        health=_health(feed, state),
        last_attempt_at=_optional_timestamp(known.attempt_ns),
        last_success_at=_optional_timestamp(known.success_ns),
        last_error=known.error,
        failing_since=_optional_timestamp(known.failing_since_ns),
        last_items=known.items,
        articles=articles,
        next_attempt_at=_optional_timestamp(known.next_ns),
        refused=dict(known.refused),
    )


def _health(feed: Feed, state: FeedState | None) -> pb.FeedHealth:
    if state is not None and state.error:
        return pb.FEED_HEALTH_FAILING
    if feed.adapter == _RECORDED:
        return pb.FEED_HEALTH_RECORDED
    return pb.FEED_HEALTH_OK if state is not None and state.attempt_ns else pb.FEED_HEALTH_NEW
