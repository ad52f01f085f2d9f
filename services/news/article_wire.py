"""Articles and feed states to and from their records on Kafka."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from signalbox.events.v1 import article_pb2

from services.news.domain import Article, FeedState, SymbolLink
from services.runtime.errors import BadRecord


def encode_article(article: Article) -> bytes:
    """The value of a record of news.articles.v1."""
    message = article_pb2.Article(
        id=article.id,
        revision=article.revision,
        feed=article.feed,
        publisher=article.publisher,
        url=article.url,
        title=article.title,
        summary=article.summary,
        ts_published=article.published_ns,
        ts_recv=article.received_ns,
        story_id=article.story_id,
        links=[article_pb2.ArticleLink(symbol=link.symbol, mention=link.mention, rule=link.rule) for link in article.links],
        sentiment=article.sentiment,
        sentiment_label=article.sentiment_label,
        scorer=article.scorer,
        language=article.language,
        is_recorded=article.is_recorded,
        raw=article.raw,
        raw_type=article.raw_type,
    )
    if article.published_utc_offset_minutes is not None:
        message.published_utc_offset_minutes = article.published_utc_offset_minutes
    return message.SerializeToString(deterministic=True)


def decode_article(value: bytes) -> Article:
    """An article from a record's value. Raises BadRecord."""
    message = article_pb2.Article()
    try:
        message.ParseFromString(value)
    except DecodeError as error:
        raise BadRecord(f"not an Article: {error}") from error
    if not message.id:
        raise BadRecord("an Article without id")
    return Article(
        id=message.id,
        revision=message.revision,
        feed=message.feed,
        publisher=message.publisher,
        url=message.url,
        title=message.title,
        summary=message.summary,
        received_ns=message.ts_recv,
        published_ns=message.ts_published,
        published_utc_offset_minutes=message.published_utc_offset_minutes if message.HasField("published_utc_offset_minutes") else None,
        story_id=message.story_id,
        links=tuple(SymbolLink(link.symbol, link.mention, link.rule) for link in message.links),
        sentiment=message.sentiment,
        sentiment_label=message.sentiment_label,
        scorer=message.scorer,
        language=message.language,
        is_recorded=message.is_recorded,
        raw=message.raw,
        raw_type=message.raw_type,
    )


def encode_feed_state(state: FeedState) -> bytes:
    """The value of a record of news.feeds.v1."""
    message = article_pb2.FeedState(
        name=state.name,
        ts_attempt=state.attempt_ns,
        ts_success=state.success_ns,
        error=state.error,
        ts_failing_since=state.failing_since_ns,
        items=state.items,
        ts_next=state.next_ns,
        failures=state.failures,
        etag=state.etag,
        last_modified=state.last_modified,
        refused=dict(state.refused),
        ts_hold=state.hold_ns,
    )
    return message.SerializeToString(deterministic=True)


def decode_feed_state(value: bytes) -> FeedState:
    """A feed's state from a record's value. Raises BadRecord."""
    message = article_pb2.FeedState()
    try:
        message.ParseFromString(value)
    except DecodeError as error:
        raise BadRecord(f"not a FeedState: {error}") from error
    if not message.name:
        raise BadRecord("a FeedState without name")
    return FeedState(
        name=message.name,
        attempt_ns=message.ts_attempt,
        success_ns=message.ts_success,
        error=message.error,
        failing_since_ns=message.ts_failing_since,
        items=message.items,
        next_ns=message.ts_next,
        failures=message.failures,
        etag=message.etag,
        last_modified=message.last_modified,
        refused=tuple(sorted(message.refused.items())),
        hold_ns=message.ts_hold,
    )
