"""Feeds over HTTP from a server that plays every nastiness: no crash, bounded memory, each refusal with its reason."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from signalbox.news.v1 import news_service_pb2 as pb

from services.news.crawl import Crawl
from services.news.errors import FeedAway, FeedProblem, FeedRefused
from services.news.feeds.feed import Feed
from services.news.fetch.fetcher import Answer, Fetcher, Unchanged, open_session
from services.news.fetch.limits import FetchLimits
from services.runtime.clock import SystemClock
from services.runtime.topics import NEWS_FEEDS
from tests.integration.nasty_feed_server import GOOD, NastyServer, nasty_process, nasty_server
from tests.ports import free_ports
from tests.unit.news.crawl_parts import Desk, NoJob

#: Short where a play waits for the end of patience; a fast machine and a slow one fail alike.
LIMITS = FetchLimits(connect_s=5.0, read_s=2.0, whole_s=6.0, pause_s=0.0)


@pytest.fixture
async def server() -> AsyncIterator[NastyServer]:
    async with nasty_server() as running:
        yield running


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with open_session("ops@example.com", "1.2.3", LIMITS) as session:
        yield Fetcher(session, LIMITS)


async def body_of(fetcher: Fetcher, url: str) -> bytes:
    answer = await fetcher.fetch(url)
    assert isinstance(answer, Answer)
    return answer.body


@pytest.mark.parametrize("play", ["good", "gzip", "deflate", "redirect"])
async def test_a_good_answer(server: NastyServer, fetcher: Fetcher, play: str) -> None:
    assert await body_of(fetcher, server.url(play)) == GOOD
    assert server.agents == {"Signalbox/1.2.3 (ops@example.com)"}


async def test_an_answer_is_not_sent_twice(server: NastyServer, fetcher: Fetcher) -> None:
    first = await fetcher.fetch(server.url("etag"))
    assert isinstance(first, Answer)
    assert await fetcher.fetch(server.url("etag"), first.etag, first.last_modified) == Unchanged()
    assert isinstance(await fetcher.fetch(server.url("etag"), '"other"', ""), Answer)


@pytest.mark.parametrize(
    ("play", "reason", "times"),
    [
        ("broken", "http-5xx", 2),
        ("gone", "http-4xx", 1),
        ("redirect-circle", "redirect-circle", 1),
        ("redirect-on", "too-many-redirects", 1),
        ("redirect-file", "bad-http", 1),
        ("not-gzip", "bad-compression", 1),
        ("brotli", "content-encoding", 1),
        ("gzip-bomb", "too-large", 1),
        ("endless", "too-large", 1),
        ("fifty-megabytes", "too-large", 1),
        ("fifty-megabytes-in-pieces", "too-large", 1),
        ("silent", "timeout", 2),
        ("slow", "deadline", 1),
        ("hang-up", "disconnected", 2),
        ("long-header", "bad-http", 1),
    ],
)
async def test_a_bad_answer_is_refused_by_reason(server: NastyServer, fetcher: Fetcher, play: str, reason: str, times: int) -> None:
    with pytest.raises(FeedProblem) as caught:
        await fetcher.fetch(server.url(play))
    assert caught.value.reason == reason
    # The client itself asks anew when the server has closed a connection that was kept.
    assert server.asked[play] in (times, 2 * times if reason == "disconnected" else times)


async def test_retry_after_in_seconds_and_as_a_date(server: NastyServer, fetcher: Fetcher) -> None:
    with pytest.raises(FeedAway) as seconds:
        await fetcher.fetch(server.url("busy"))
    with pytest.raises(FeedAway) as date:
        await fetcher.fetch(server.url("busy-until"))
    assert (seconds.value.reason, seconds.value.retry_after_s) == ("http-429", 120.0)
    assert date.value.reason == "http-5xx"
    assert date.value.retry_after_s is not None
    assert 3_500 < date.value.retry_after_s <= 3_600
    assert (server.asked["busy"], server.asked["busy-until"]) == (1, 1)


@pytest.mark.parametrize("play", ["cut", "gzip-cut"])
async def test_an_answer_that_is_cut_off_is_given_as_far_as_it_came(server: NastyServer, fetcher: Fetcher, play: str) -> None:
    answer = await fetcher.fetch(server.url(play))
    assert isinstance(answer, Answer)
    assert answer.is_cut
    assert answer.body.startswith(b"<?xml")
    assert b"</rss>" not in answer.body


async def test_what_robots_txt_forbids_is_not_asked_for(server: NastyServer, fetcher: Fetcher) -> None:
    server.robots = (200, "User-agent: *\nDisallow: /\n\nUser-agent: Signalbox\nDisallow: /good\nAllow: /\n")
    with pytest.raises(FeedRefused, match=r"robots: .*does not allow"):
        await fetcher.fetch(server.url("good"))
    with pytest.raises(FeedRefused, match="robots"):
        await fetcher.fetch(server.url("redirect"))
    assert await body_of(fetcher, server.url("gzip")) == GOOD
    assert (server.asked["good"], server.asked["redirect"], server.asked["robots.txt"]) == (0, 1, 1)


async def test_without_robots_txt_because_of_a_failure_nothing_is_asked_for(server: NastyServer, fetcher: Fetcher) -> None:
    server.robots = (500, "")
    for _ in range(3):
        with pytest.raises(FeedRefused, match="robots-unavailable"):
            await fetcher.fetch(server.url("good"))
    assert (server.asked["good"], server.asked["robots.txt"]) == (0, 1)


async def test_the_crawl_delay_of_robots_txt_is_kept(server: NastyServer, fetcher: Fetcher) -> None:
    server.robots = (200, "User-agent: *\nCrawl-delay: 0.4\n")
    clock = SystemClock()
    began = clock.monotonic_ns()
    for _ in range(3):
        await fetcher.fetch(server.url("good"))
    assert clock.monotonic_ns() - began >= 3 * 0.4e9 * 0.99


async def test_one_host_is_asked_one_thing_at_a_time(server: NastyServer, fetcher: Fetcher) -> None:
    await asyncio.gather(*(fetcher.fetch(server.url("good")) for _ in range(8)))
    assert (server.most_at_once, server.asked["good"], server.asked["robots.txt"]) == (1, 8, 1)


async def test_a_host_that_is_not_there_is_tried_once_for_all_its_feeds(fetcher: Fetcher) -> None:
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
    # Each attempt at a port where nobody listens is quick; what is tested is that no feed waits for a second one.
    for _ in range(20):
        with pytest.raises(FeedAway) as caught:
            await fetcher.fetch(f"{nowhere}/feed")
        assert caught.value.reason == "unreachable"


@pytest.mark.parametrize("url", ["http://does-not-exist.invalid/rss", "http://127.0.0.1:1/rss"])
async def test_a_network_that_is_not_there(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(FeedAway, match="unreachable"):
        await fetcher.fetch(url)


NASTY = {
    "broken": "http-5xx",
    "busy": "http-429",
    "gone": "http-4xx",
    "redirect-circle": "redirect-circle",
    "redirect-file": "bad-http",
    "picture": "content-type",
    "page": "content-type",
    "gzip-bomb": "too-large",
    "endless": "too-large",
    "fifty-megabytes": "too-large",
    "silent": "timeout",
    "slow": "deadline",
    "hang-up": "disconnected",
    "xml-bomb": "entities",
    "external-entity": "external-entity",
    "empty": "empty",
    "cut": "truncated",
    "gzip-cut": "truncated",
}
FINE = {"good": 10, "etag": 0, "gzip": 0, "feed-as-page": 0, "wrong-encoding": 0, "deep": 0, "bare": 3, "changing-ids": 0}


async def test_a_crawl_over_everything_at_once() -> None:
    limits = LIMITS
    with nasty_process() as address:
        feeds = [Feed(name=play, adapter="rss", url=f"{address}/{play}", interval_s=300.0) for play in (*NASTY, *FINE)]
        desk = Desk(*feeds)
        async with open_session("", "1", limits) as session:
            crawl = Crawl(feeds, desk.room, source=Fetcher(session, limits), publisher=desk.broker, clock=SystemClock())
            tracemalloc.start()
            result = await crawl.run(pb.CrawlRequest(), NoJob())
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            again = await crawl.run(pb.CrawlRequest(feeds=list(FINE), force=True), NoJob())
    # One body at a time from this host: as bytes, as its copy for the parser, as text.
    assert peak < 8 * limits.body_bytes, f"{peak / 2**20:.0f} MiB"
    for play, reason in NASTY.items():
        assert dict(desk.state(feed_named(feeds, play)).refused) == {reason: 1}, play
        assert bool(desk.state(feed_named(feeds, play)).error) == (reason != "truncated"), play
    assert result.feeds_failed == len(NASTY) - 2
    assert result.feeds_read == len(FINE) + 2
    assert again.articles == 0
    urls = {article.url for article in desk.articles}
    assert {f"https://example.com/news/{number}" for number in range(10)} | {"https://example.com/only-a-link", ""} <= urls
    assert sum(not article.published_ns for article in desk.articles) == 3
    assert len({article.key for article in desk.articles}) == len(desk.articles)


async def test_a_slow_host_delays_no_other(server: NastyServer) -> None:
    limits = replace(LIMITS, read_s=10.0, whole_s=5.0)
    async with nasty_server() as other, open_session("", "1", limits) as session:
        feeds = [Feed(name=f"silent{number}", adapter="rss", url=server.url("silent"), interval_s=300.0) for number in range(2)]
        feeds += [Feed(name=f"good{number}", adapter="rss", url=other.url("good"), interval_s=300.0) for number in range(10)]
        desk = Desk(*feeds)
        crawl = Crawl(feeds, desk.room, source=Fetcher(session, limits), publisher=desk.broker, clock=SystemClock())
        await crawl.run(pb.CrawlRequest(), NoJob())
    in_order = [record.key for record in desk.broker.of(NEWS_FEEDS.name)]
    assert in_order == [f"good{number}".encode() for number in range(10)] + [b"silent0", b"silent1"]


def feed_named(feeds: list[Feed], name: str) -> Feed:
    return next(feed for feed in feeds if feed.name == name)
