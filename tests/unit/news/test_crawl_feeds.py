"""The crawl: which feeds are asked, what becomes an article, what a feed's state says."""

from __future__ import annotations

import pytest
from signalbox.news.v1 import news_service_pb2 as pb

from services.news.domain import RULE_FEED, SymbolLink
from services.news.errors import FeedAway, FeedRefused
from services.news.feeds.config import load_feeds
from services.news.fetch.fetcher import Answer, Unchanged
from services.runtime.errors import InvalidArgument
from services.runtime.headers import read_headers
from services.runtime.kafka import PublishFailed
from services.runtime.testing.kafka import MemoryPublisher
from services.runtime.topics import ARTICLES
from tests.unit.news.crawl_parts import Desk, NoJob, answer, make_feed
from tests.unit.news.feed_texts import BILLION_LAUGHS, rss, story

_NS = 10**9
_ALL = pb.CrawlRequest()


async def run(desk: Desk, *names: str, force: bool = False) -> pb.CrawlResult:
    return await desk.crawl.run(pb.CrawlRequest(feeds=names, force=force), NoJob())


def set_away(desk: Desk, away: bool) -> None:
    desk.broker.away = away


async def test_new_items_become_articles_and_known_ones_do_not() -> None:
    feed = make_feed()
    desk = Desk(feed)
    desk.plays(feed, answer(rss([story(2), story(1)])), answer(rss([story(3), story(2), story(1)])))
    first = await run(desk)
    desk.clock.advance(900)
    second = await run(desk)
    assert (first.feeds_read, first.items, first.articles) == (1, 2, 2)
    assert (second.feeds_read, second.items, second.articles) == (1, 3, 1)
    assert [(each.title[-1], each.revision) for each in desk.articles] == [("1", 0), ("2", 0), ("3", 0)]
    record = desk.broker.of(ARTICLES.name)[0]
    assert record.key == f"{desk.articles[0].id}@0".encode()
    headers = read_headers(record.headers)
    assert (headers.schema, headers.ce_id, headers.feed) == ("signalbox.events.v1.Article", desk.articles[0].key, "test")


async def test_a_feed_that_repeats_with_changed_ids_brings_nothing_new() -> None:
    feed = make_feed()
    desk = Desk(feed)
    for round_ in range(5):
        items = [f"{story(number)}<guid>{round_}-{number}</guid>".replace("/news/", f"/news/?utm_campaign={round_}&n=") for number in range(10)]
        desk.plays(feed, answer(rss(items)))
        await run(desk)
        desk.clock.advance(900)
    assert len(desk.articles) == 10


async def test_a_changed_title_is_a_revision() -> None:
    feed = make_feed()
    desk = Desk(feed)
    for title in ("First", "Second", "First", "First"):
        desk.plays(feed, answer(rss([story(1, title=title)])))
        await run(desk)
        desk.clock.advance(900)
    assert [(each.title, each.revision) for each in desk.articles] == [("First", 0), ("Second", 1), ("First", 2)]
    assert len({each.id for each in desk.articles}) == 1
    assert [each.received_ns for each in desk.articles] == sorted({each.received_ns for each in desk.articles})


async def test_an_item_that_stands_twice_counts_as_it_stands_first() -> None:
    feed = make_feed()
    desk = Desk(feed)
    desk.plays(feed, answer(rss([story(1, title="Newest"), story(1, title="Older")])))
    for _ in range(3):
        await run(desk)
        desk.clock.advance(900)
    assert [each.title for each in desk.articles] == ["Newest"]


async def test_another_feed_s_wording_of_a_page_is_no_revision_but_its_symbol_is_added() -> None:
    apple = make_feed("yahoo/AAPL.XNAS", adapter="yahoo", symbol="AAPL.XNAS", mention="AAPL")
    tesla = make_feed("yahoo/TSLA.XNAS", adapter="yahoo", symbol="TSLA.XNAS", mention="TSLA")
    general = make_feed("general")
    desk = Desk(apple, tesla, general)
    for round_ in range(3):
        for feed, title in ((apple, "As one says"), (general, "As others say"), (tesla, "As one says")):
            desk.plays(feed, answer(rss([story(1, title=title)])))
            await run(desk, feed.name, force=bool(round_))
        desk.clock.advance(3_600)
    links = (SymbolLink("AAPL.XNAS", "AAPL", RULE_FEED), SymbolLink("TSLA.XNAS", "TSLA", RULE_FEED))
    assert [(each.revision, each.feed, each.title, each.links) for each in desk.articles] == [
        (0, "yahoo/AAPL.XNAS", "As one says", links[:1]),
        (1, "yahoo/AAPL.XNAS", "As one says", links),
    ]


async def test_the_same_words_without_a_link_are_one_article_across_feeds() -> None:
    one, two = make_feed("one"), make_feed("two")
    desk = Desk(one, two)
    for feed in (one, two):
        desk.plays(feed, answer(rss(["<title>Said twice</title>"])))
        await run(desk, feed.name)
    assert [(each.feed, each.url) for each in desk.articles] == [("one", "")]
    desk.plays(two, answer(rss(["<title>Said twice</title><link>https://two.example/1</link>"])))
    await run(desk, "two", force=True)
    assert [each.url for each in desk.articles] == ["", "https://two.example/1"]


async def test_a_date_that_was_missing_is_added() -> None:
    feed = make_feed()
    desk = Desk(feed)
    for date in (False, False, True, True, False):
        desk.plays(feed, answer(rss([story(1, date=date)])))
        await run(desk)
        desk.clock.advance(900)
    assert [(each.revision, each.published_ns > 0) for each in desk.articles] == [(0, False), (1, True)]


async def test_conditions_of_the_answer_before_are_sent_and_nothing_new_is_a_success() -> None:
    feed = make_feed()
    desk = Desk(feed)
    desk.plays(feed, answer(rss([story(1)]), etag='"1"', last_modified="Mon"), Unchanged())
    await run(desk)
    desk.clock.advance(900)
    result = await run(desk)
    assert desk.source.asked == [(feed.url, "", ""), (feed.url, '"1"', "Mon")]
    assert (result.feeds_unchanged, result.feeds_read) == (1, 0)
    state = desk.state(feed)
    assert (state.success_ns, state.items, state.etag, state.last_modified, state.error) == (desk.clock.now_ns(), 1, '"1"', "Mon", "")


async def test_a_feed_is_not_asked_before_its_time_unless_forced() -> None:
    feed = make_feed(interval_s=300.0)
    desk = Desk(feed)
    desk.plays(feed, answer(rss([story(1)])))
    await run(desk)
    desk.clock.advance(299)
    await run(desk)
    assert len(desk.source.asked) == 1
    await run(desk, force=True)
    assert len(desk.source.asked) == 2
    desk.clock.advance(300)
    await run(desk)
    assert len(desk.source.asked) == 3


async def test_retry_after_holds_even_when_forced() -> None:
    feed = make_feed()
    desk = Desk(feed)
    desk.plays(feed, FeedAway("http-429", "answered 429", retry_after_s=7_200.0), answer(rss([story(1)])))
    await run(desk)
    desk.clock.advance(7_199)
    await run(desk, force=True)
    assert len(desk.source.asked) == 1
    assert desk.state(feed).hold_ns == desk.clock.now_ns() + _NS
    desk.clock.advance(1)
    await run(desk)
    assert len(desk.source.asked) == 2
    assert desk.state(feed).hold_ns == 0


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("http-5xx", [600, 1_200, 2_400, 4_800, 9_600, 19_200, *[21_600] * 6]), ("unreachable", [600, *[900] * 11])],
)
async def test_a_failing_feed_is_asked_ever_later_and_says_since_when(reason: str, expected: list[int]) -> None:
    feed = make_feed()
    desk = Desk(feed)
    desk.plays(feed, FeedAway(reason, "no luck"))
    began_ns, waits = desk.clock.now_ns(), []
    for _ in range(12):
        await run(desk)
        state = desk.state(feed)
        waits.append((state.next_ns - desk.clock.now_ns()) // _NS)
        assert (state.failing_since_ns, state.success_ns) == (began_ns, 0)
        desk.clock.advance(waits[-1])
    assert waits == expected
    assert desk.state(feed).error == f"{reason}: no luck"
    assert desk.state(feed).refused == ((reason, 12),)
    desk.plays(feed, answer(rss([])))
    await run(desk)
    assert (desk.state(feed).failures, desk.state(feed).failing_since_ns, desk.state(feed).error) == (0, 0, "")


async def test_one_failing_feed_stops_no_other() -> None:
    feeds = [make_feed(f"feed{number}") for number in range(6)]
    desk = Desk(*feeds)
    problems: list[Answer | Unchanged | Exception] = [
        FeedAway("unreachable", "x"),
        FeedRefused("robots", "x"),
        RuntimeError("a defect of an adapter"),
        answer(BILLION_LAUGHS),
        answer(b"<html>", media_type="text/html"),
        answer(rss([story(1)])),
    ]
    for feed, problem in zip(feeds, problems, strict=True):
        desk.plays(feed, problem)
    job = NoJob()
    result = await desk.crawl.run(_ALL, job)
    assert (result.feeds_failed, result.feeds_read, result.articles) == (5, 1, 1)
    expected: list[dict[str, int]] = [{"unreachable": 1}, {"robots": 1}, {"unexpected": 1}, {"entities": 1}, {"content-type": 1}, {}]
    assert [dict(desk.state(feed).refused) for feed in feeds] == expected
    assert job.told[0] == (0.0, 6.0)
    done = [done for done, _ in job.told]
    assert done == sorted(done)
    assert job.told[-1] == (6.0, 6.0)


async def test_a_web_page_that_holds_a_feed_is_read_as_one() -> None:
    feed = make_feed()
    desk = Desk(feed)
    desk.plays(feed, answer(rss([story(1)]), media_type="text/html"))
    assert (await run(desk)).articles == 1


async def test_a_cut_answer_gives_its_whole_items_and_is_asked_for_again_in_full() -> None:
    feed = make_feed()
    desk = Desk(feed)
    body = rss([story(1), story(2)])
    desk.plays(feed, answer(body[:-80], is_cut=True), answer(body))
    assert (await run(desk)).articles == 1
    assert (desk.state(feed).refused, desk.state(feed).etag) == ((("truncated", 1),), "")
    desk.clock.advance(900)
    assert (await run(desk)).articles == 1
    desk.plays(feed, answer(b"<rss", is_cut=True))
    assert (await run(desk, force=True)).feeds_failed == 1
    assert dict(desk.state(feed).refused) == {"truncated": 2}


async def test_after_a_crash_between_articles_and_state_nothing_is_doubled() -> None:
    feed, broker = make_feed(), MemoryPublisher()
    first = Desk(feed, broker=broker)
    first.plays(feed, answer(rss([story(1), story(2)])))
    await run(first)
    broker.records = [record for record in broker.records if record.topic == ARTICLES.name]
    second = Desk(feed, broker=broker)
    second.plays(feed, answer(rss([story(3), story(1), story(2)])))
    assert (await run(second)).articles == 1
    assert [each.key for each in second.enricher.remembered] == [each.key for each in second.articles]
    assert len({each.key for each in second.articles}) == len(second.articles) == 3


async def test_when_kafka_is_away_the_job_fails_and_nothing_is_taken_for_known() -> None:
    feed = make_feed()
    desk = Desk(feed)
    desk.plays(feed, answer(rss([story(1)])))
    set_away(desk, True)
    with pytest.raises(PublishFailed):
        await run(desk)
    set_away(desk, False)
    assert (await run(desk)).articles == 1
    assert desk.enricher.remembered == desk.articles


async def test_feeds_are_named_one_by_one_or_by_their_entry() -> None:
    feeds = [make_feed("yahoo/AAPL.XNAS"), make_feed("yahoo/TSLA.XNAS"), make_feed("other")]
    desk = Desk(*feeds)
    await run(desk, "yahoo")
    assert sorted(url for url, _, _ in desk.source.asked) == [feeds[0].url, feeds[1].url]
    with pytest.raises(InvalidArgument, match=r"other, yahoo, yahoo/AAPL\.XNAS"):
        await run(desk, "yahoo/NONE.XNAS")


async def test_recorded_feeds_play_a_few_items_at_a_time_and_say_so() -> None:
    recorded = [feed for feed in load_feeds() if feed.is_recorded]
    desk = Desk(*recorded)
    counts = []
    for _ in range(14):
        counts.append((await run(desk)).articles)
        desk.clock.advance(10)
    assert counts == [8, 8, 8, 8, 8, 4, 4, 4, 4, 4, 0, 0, 0, 0]
    assert all(each.is_recorded and each.published_ns and each.published_utc_offset_minutes is not None for each in desk.articles)
    assert {each.publisher for each in desk.articles} == {"Federal Reserve Board", "SEC EDGAR"}
    fed = [each.published_ns for each in desk.articles if each.feed == "recorded-fed"]
    assert len(fed) == 20
    assert fed == sorted(fed)
    assert desk.source.asked == []


async def test_a_live_feed_takes_the_place_of_a_recorded_one() -> None:
    recorded = next(feed for feed in load_feeds() if feed.name == "recorded-fed")
    assert recorded.file is not None
    live = make_feed("fed-press", adapter="fed")
    desk = Desk(recorded, live)
    await run(desk, "recorded-fed")
    desk.plays(live, answer(recorded.file.read_bytes()))
    await run(desk, "fed-press")
    again = await run(desk, "recorded-fed", force=True)
    assert sum(each.is_recorded for each in desk.articles) == 4
    assert sorted((each.revision, each.feed, each.is_recorded) for each in desk.articles if not each.is_recorded)[-4:] == [(1, "fed-press", False)] * 4
    assert again.articles == 0
