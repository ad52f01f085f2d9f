"""Requests and answers of the news service: what is refused, how a feed is, tokens of pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from signalbox.news.v1 import news_service_pb2 as pb

from services.news import translate
from services.news.book import Known, StoryView
from services.news.domain import FeedState, SymbolLink
from services.news.enrichment import ArticleEnricher, enrich
from services.news.feeds.feed import Feed
from services.news.sentiment.scorer import SCORER
from services.runtime.errors import InvalidArgument
from services.runtime.page_token import make_token, read_token
from tests.unit.news.stories_of import SECOND_NS, START_NS, article

PLAIN, RECORDED = Feed("a", "rss", "https://a.example/", 300.0), Feed("b", "recorded", "", 10.0, file=Path("b.xml"))


@pytest.mark.parametrize(
    ("feed", "state", "health"),
    [
        (PLAIN, None, pb.FEED_HEALTH_NEW),
        (PLAIN, FeedState("a", 5, 5), pb.FEED_HEALTH_OK),
        (PLAIN, FeedState("a", 5, 4, error="timeout"), pb.FEED_HEALTH_FAILING),
        (RECORDED, None, pb.FEED_HEALTH_RECORDED),
        (RECORDED, FeedState("b", 5, 5), pb.FEED_HEALTH_RECORDED),
        (RECORDED, FeedState("b", 5, 4, error="not-a-feed"), pb.FEED_HEALTH_FAILING),
    ],
)
def test_how_a_feed_is(feed: Feed, state: FeedState | None, health: int) -> None:
    (message,) = translate.feed_messages([feed], {feed.name: state} if state else {}, {feed.name: 3})
    assert (message.health, message.articles) == (health, 3)


def test_feeds_come_by_name_and_states_of_others_are_left_out() -> None:
    messages = translate.feed_messages([RECORDED, PLAIN], {"gone": FeedState("gone", 1)}, {})
    assert [message.name for message in messages] == ["a", "b"]


def test_an_answer_has_room_for_so_many_articles() -> None:
    """A page of the longest articles ends early, and a story keeps them all without their summaries."""
    long = [Known(article(number, "t" * 500, summary="s" * 2_000), number) for number in range(500)]
    page = translate.article_messages(long)
    assert 100 < len(page) < 200
    assert sum(message.ByteSize() for message in page) <= translate.MAX_ANSWER_BYTES
    huge = Known(article(0, summary="s" * translate.MAX_ANSWER_BYTES), 0)
    assert len(translate.article_messages([huge, huge])) == 1
    story = translate.story_message(StoryView("s", tuple(long), 0, 1))
    assert len(story.articles) == 500
    assert not any(each.summary for each in story.articles)
    assert translate.story_message(StoryView("s", tuple(long[:3]), 0, 1)).articles[2].summary


def test_an_article_keeps_what_is_missing_missing() -> None:
    bare = translate.article_message(Known(article(0), 1))
    assert not bare.HasField("published_at")
    assert not bare.HasField("published_utc_offset_minutes")
    dated = translate.article_message(Known(article(0, published_ns=START_NS, published_utc_offset_minutes=0), 1))
    assert dated.published_at == Timestamp(seconds=START_NS // SECOND_NS)
    assert dated.HasField("published_utc_offset_minutes")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListArticlesRequest(symbols=["A.X"] * 101), "symbols"),
        (pb.ListArticlesRequest(symbols=["A" * 40 + ".X"]), "symbols"),
        (pb.ListArticlesRequest(feeds=[""]), "feeds"),
        (pb.ListArticlesRequest(page_size=-1), "page_size"),
        (pb.ListArticlesRequest(start=Timestamp(seconds=10**10)), "start"),
        (pb.ListArticlesRequest(end=Timestamp(nanos=-1)), "end"),
    ],
)
def test_wrong_requests_name_the_field(request_: pb.ListArticlesRequest, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        translate.article_query(request_)
    assert caught.value.field == field


def test_the_same_question_in_another_order_takes_the_same_token() -> None:
    one = translate.article_query(pb.ListArticlesRequest(symbols=["B.X", "A.X", "A.X"]))
    other = translate.article_query(pb.ListArticlesRequest(symbols=["A.X", "B.X"]))
    assert read_token(make_token(("q", one), 1, 2), ("q", other), 2) == (1, 2)


@pytest.mark.parametrize("token", ["", "AAAA", "%%%", make_token(("other",), 1, 2), make_token(("q",), 1), make_token(("q",), 1, 2)[:-1] + "A"])
def test_a_token_of_another_question_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match="page_token"):
        read_token(token, ("q",), 2)


def test_everything_is_added_at_once_and_what_the_feed_states_stays() -> None:
    stated = SymbolLink("MSFT.XNAS", "MSFT", "feed")
    first, second = enrich([article(0, "Apple profit jumps on iPhone sales", links=(stated,)), article(1, "Apple's profit rises as iPhone sales jump")], [])
    assert first.links == (stated, SymbolLink("AAPL.XNAS", "Apple", "name"))
    assert (first.sentiment_label, first.scorer, first.story_id) == ("positive", SCORER, "a0000")
    assert second.story_id == "a0000"


def test_what_was_published_before_counts() -> None:
    known = enrich([article(0, "Apple profit jumps on iPhone sales")], [])
    assert enrich([article(1, "Apple's profit rises as iPhone sales jump")], known)[0].story_id == "a0000"
    assert ArticleEnricher().enrich([article(1, "Apple's profit rises as iPhone sales jump")])[0].story_id == "a0001"
