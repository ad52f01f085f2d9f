"""What is known comes from the topics: restarts, repeated records and bad ones change nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from signalbox.news.v1 import news_service_pb2 as pb

from services.news.article_wire import decode_article, decode_feed_state, encode_article, encode_feed_state
from services.news.domain import Article, FeedState, SymbolLink
from services.news.known import KnownArticles
from services.news.newsroom import Newsroom
from services.runtime.kafka import Record
from services.runtime.testing.kafka import MemoryPublisher
from services.runtime.topics import ARTICLES, NEWS_FEEDS
from tests.unit.news.crawl_parts import Desk, NoJob, PlainEnricher, answer, make_feed
from tests.unit.news.feed_texts import rss, story

#: Answers of one feed, each some stories with one of two titles.
_ANSWERS = st.lists(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("AB")), max_size=6), max_size=6)


async def published(answers: list[list[tuple[int, str]]], *, restarts: bool) -> list[tuple[str, str, int]]:
    feed, broker = make_feed(), MemoryPublisher()
    desk = Desk(feed, broker=broker)
    for items in answers:
        desk = Desk(feed, broker=broker, clock=desk.clock) if restarts else desk
        desk.plays(feed, answer(rss([story(number, title=title) for number, title in items])))
        await desk.crawl.run(pb.CrawlRequest(force=True), NoJob())
        desk.clock.advance(1)
    return [(each.key, each.title, each.received_ns) for each in desk.articles]


@settings(max_examples=30)
@given(_ANSWERS)
def test_restarts_change_nothing(answers: list[list[tuple[int, str]]]) -> None:
    steady = asyncio.run(published(answers, restarts=False))
    assert asyncio.run(published(answers, restarts=True)) == steady
    assert len({key for key, _, _ in steady}) == len(steady)
    last = {number: title for items in answers for number, title in reversed(items)}
    shown = {key.partition("@")[0]: title for key, title, _ in steady}
    assert sorted(shown.values()) == sorted(last.values())


def record(topic: str, value: bytes) -> Record:
    return Record(topic, 0, 0, b"", value, [], 0)


def test_a_record_that_cannot_be_read_is_counted_and_left_out() -> None:
    enricher = PlainEnricher()
    room = Newsroom(enricher)
    bad = "signalbox_news_bad_records_total"
    before = [REGISTRY.get_sample_value(bad, {"topic": topic.name}) or 0 for topic in (ARTICLES, NEWS_FEEDS)]
    good = encode_article(ARTICLE)
    room.take(
        [record(ARTICLES.name, b"\xff"), record(ARTICLES.name, b""), record(ARTICLES.name, good), record(ARTICLES.name, good), record(NEWS_FEEDS.name, b"\x01")]
    )
    assert enricher.remembered == [ARTICLE]
    assert [REGISTRY.get_sample_value(bad, {"topic": topic.name}) for topic in (ARTICLES, NEWS_FEEDS)] == [before[0] + 2, before[1] + 1]


def test_an_earlier_state_does_not_replace_a_later_one() -> None:
    room = Newsroom(PlainEnricher())
    for attempt in (5, 3):
        room.take([record(NEWS_FEEDS.name, encode_feed_state(FeedState("a", attempt_ns=attempt)))])
    assert room.state("a").attempt_ns == 5
    assert room.state("b") == FeedState("b")


def test_what_is_remembered_has_a_bound() -> None:
    known = KnownArticles(most=10)
    for number in range(25):
        known.remember(replace(ARTICLE, id=f"{number:032x}", title=f"title {number}"))
    assert len(known) == 10
    assert known.remember(replace(ARTICLE, id=f"{0:032x}"))
    assert not known.remember(replace(ARTICLE, id=f"{24:032x}"))


def test_the_wire_loses_nothing() -> None:
    assert decode_article(encode_article(ARTICLE)) == ARTICLE
    bare = Article("1", 0, "", "", "", "", "", 0)
    assert decode_article(encode_article(bare)) == bare
    for state in (STATE, FeedState("a")):
        assert decode_feed_state(encode_feed_state(state)) == state


ARTICLE = Article(
    id="00" * 16,
    revision=3,
    feed="feed",
    publisher="publisher",
    url="https://example.com/",
    title="title",
    summary="summary",
    received_ns=5,
    published_ns=4,
    published_utc_offset_minutes=-240,
    story_id="story",
    links=(SymbolLink("AAPL.XNAS", "Apple", "name"),),
    sentiment=-0.5,
    sentiment_label="negative",
    scorer="scorer/1",
    language="en",
    is_recorded=True,
    raw=b"<item/>",
    raw_type="application/rss+xml",
)
STATE = FeedState("a", 1, 2, "error", 3, 4, 5, 6, '"etag"', "modified", (("html", 1), ("robots", 2)), 7)
