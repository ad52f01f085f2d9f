"""The news service beside a real Kafka: views rebuilt from the topics, as of a time, pages that hold together, errors that say what was wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from confluent_kafka import Producer
from google.protobuf.timestamp_pb2 import Timestamp
from signalbox.news.v1 import news_service_pb2 as pb
from signalbox.news.v1.news_service_pb2_grpc import NewsServiceStub

from deploy.local.edge_rest import EdgeRest
from services.news import rebuild
from services.news.article_wire import encode_article, encode_feed_state
from services.news.domain import Article, FeedState
from services.news.enrichment import enrich
from services.runtime.grpc_client import channel
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.testing.waiting import eventually
from services.runtime.topics import ARTICLES, NEWS_FEEDS
from tests.integration.edge_servers import edge_settings, running_envoy
from tests.ports import free_ports
from tests.processes import Process
from tests.servers import REPOSITORY, new_broker

if TYPE_CHECKING:
    from signalbox.news.v1.news_service_pb2_grpc import NewsServiceAsyncStub as Stub

SECOND_NS = 10**9
START_S = 1_760_000_000
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FEEDS = """
feeds:
  - {name: alpha, adapter: rss, url: "https://alpha.example/rss"}
  - {name: beta, adapter: rss, url: "https://beta.example/rss"}
  - {name: gamma, adapter: rss, url: "https://gamma.example/rss"}
"""
TITLES = [
    ("alpha", "Apple's profit rises as iPhone sales jump"),
    ("beta", "Apple profit jumps on iPhone sales"),
    ("alpha", "Fed's Plosser: nasty weather has curbed job growth"),
    ("beta", "Plosser says weather curbed jobs, Fed taper goes on"),
    ("alpha", "Visa rules tightened for students"),
    ("beta", "IBM (NYSE: IBM) misses estimates, shares fall"),
]


def _articles() -> list[Article]:
    plain = [
        Article(
            id=f"a{number}",
            revision=0,
            feed=feed,
            publisher="",
            url=f"https://x.example/{number}",
            title=title,
            summary="",
            received_ns=_ns(number),
            raw=b"<item/>",
        )
        for number, (feed, title) in enumerate(TITLES)
    ]
    return enrich(plain, [])


def _ns(second: float) -> int:
    return int((START_S + second) * SECOND_NS)


def _at(second: float) -> Timestamp:
    return Timestamp(seconds=START_S + int(second))


@dataclass
class News:
    """What runs for the tests of this module."""

    producer: Producer
    process: Process
    address: str
    edge_port: int = 0

    def send(self, article: Article) -> None:
        self.producer.produce(ARTICLES.name, encode_article(article), article.key, 0, headers=list(record_headers("Article", article.key, TRACE)))
        assert self.producer.flush(10) == 0

    def send_bytes(self, topic: str, key: str, value: bytes) -> None:
        self.producer.produce(topic, value, key, 0)
        assert self.producer.flush(10) == 0


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory) -> Iterator[News]:
    """A broker with six articles and two feeds' states, and the service on it."""
    home = tmp_path_factory.mktemp("news")
    (home / "feeds.yaml").write_text(FEEDS, encoding="utf-8")
    with new_broker(home / "kafka") as broker:
        ensure_topics(broker.bootstrap, 1, (ARTICLES, NEWS_FEEDS))
        edge = edge_settings()
        ports = [edge.news_port, *free_ports(1)]
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "SIGNALBOX_NEWS_PORT": str(ports[0]),
            "SIGNALBOX_NEWS_METRICS_PORT": str(ports[1]),
            "SIGNALBOX_NEWS_FEEDS": str(home / "feeds.yaml"),
        }
        producer = make_producer(broker.bootstrap)
        sender = News(producer, None, "")  # type: ignore[arg-type]
        for article in _articles():
            sender.send(article)
        sender.send_bytes(ARTICLES.name, "bad", b"\xff\xff")
        states = [FeedState("alpha", _ns(1), _ns(1), items=3), FeedState("beta", _ns(2), 0, "http-5xx: 503", _ns(1), refused=(("no-title", 2),))]
        for state in states:
            sender.send_bytes(NEWS_FEEDS.name, state.name, encode_feed_state(state))
        process = Process(["services.news"], home / "news.log", ports[1], env)
        try:
            process.wait_ready()
            with running_envoy(home / "envoy", edge):
                yield News(producer, process, f"127.0.0.1:{ports[0]}", edge.edge_port)
        finally:
            process.end()
            print(process.log[-5000:])


@pytest.fixture
async def stub(news: News) -> AsyncIterator[Stub]:
    async with channel(news.address) as open_channel:
        yield NewsServiceStub(open_channel)


async def _ids(stub: Stub, **request: Any) -> list[str]:
    answer = await stub.ListArticles(pb.ListArticlesRequest(**request))
    return [article.id for article in answer.articles]


async def test_articles_come_newest_first_with_all_that_is_known_of_them(stub: Stub) -> None:
    answer = await stub.ListArticles(pb.ListArticlesRequest())
    assert [article.id for article in answer.articles][-6:] == ["a5", "a4", "a3", "a2", "a1", "a0"]
    first = answer.articles[-1]
    assert (first.story_id, [link.symbol for link in first.links], first.sentiment.label) == ("a0", ["AAPL.XNAS"], "positive")
    assert (first.traceparent, first.received_at) == (TRACE, _at(0))
    assert not first.HasField("published_at")


async def test_filters(stub: Stub) -> None:
    assert await _ids(stub, symbols=["AAPL.XNAS"], end=_at(100)) == ["a1", "a0"]
    assert await _ids(stub, symbols=["AAPL.XNAS", "IBM.XNYS"], feeds=["beta"], end=_at(100)) == ["a5", "a1"]
    assert await _ids(stub, symbols=["V.XNYS"]) == []
    assert await _ids(stub, start=_at(1), end=_at(3)) == ["a2", "a1"]
    assert await _ids(stub, as_of=_at(1)) == ["a1", "a0"]


async def test_a_story_grows_with_time(stub: Stub) -> None:
    early = (await stub.GetStory(pb.GetStoryRequest(id="a0", as_of=_at(0)))).story
    late = (await stub.GetStory(pb.GetStoryRequest(id="a0"))).story
    assert [article.id for article in early.articles] == ["a0"]
    assert [article.id for article in late.articles] == ["a0", "a1"]
    assert (late.title, late.first_received_at, late.last_received_at) == (TITLES[0][1], _at(0), _at(1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetStory(pb.GetStoryRequest(id="none"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_search_as_of_a_time(stub: Stub) -> None:
    now = await stub.SearchArticles(pb.SearchArticlesRequest(query="weather"))
    then = await stub.SearchArticles(pb.SearchArticlesRequest(query="weather", as_of=_at(2)))
    assert {hit.article.id for hit in now.hits} == {"a2", "a3"}
    assert [hit.article.id for hit in then.hits] == ["a2"]
    assert now.hits[0].score > 0


@pytest.mark.parametrize(
    ("method", "request_", "said"),
    [
        ("SearchArticles", pb.SearchArticlesRequest(query="fed AND ("), "Syntax Error"),
        ("SearchArticles", pb.SearchArticlesRequest(query="body:fed"), "Field does not exist"),
        ("SearchArticles", pb.SearchArticlesRequest(query="  "), "query: expected 1 to 500 characters"),
        ("SearchArticles", pb.SearchArticlesRequest(query="fed", page_token="AAAA"), "page_token"),
        ("ListArticles", pb.ListArticlesRequest(symbols=["apple"]), "symbols: expected ticker dot MIC"),
        ("ListArticles", pb.ListArticlesRequest(page_size=501), "page_size: expected 0 to 500"),
        ("ListArticles", pb.ListArticlesRequest(start=_at(2), end=_at(1)), "end: expected a time not before start"),
        ("ListArticles", pb.ListArticlesRequest(as_of=Timestamp(seconds=-1)), "as_of: expected a time from 1970 to 2199"),
        ("GetStory", pb.GetStoryRequest(), "id: expected 1 to 200 characters"),
    ],
)
async def test_a_wrong_request_is_refused_with_what_was_wrong(stub: Stub, method: str, request_: object, said: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(stub, method)(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in str(caught.value.details())


async def test_feeds_with_their_state(stub: Stub) -> None:
    alpha, beta, gamma = (await stub.ListFeeds(pb.ListFeedsRequest())).feeds
    assert (alpha.name, alpha.health, alpha.articles, alpha.last_items) == ("alpha", pb.FEED_HEALTH_OK, 3, 3)
    assert (beta.health, beta.last_error, beta.failing_since, dict(beta.refused)) == (pb.FEED_HEALTH_FAILING, "http-5xx: 503", _at(1), {"no-title": 2})
    assert not beta.HasField("last_success_at")
    assert (gamma.health, gamma.url) == (pb.FEED_HEALTH_NEW, "https://gamma.example/rss")


async def test_pages_and_points_in_time_hold_while_revisions_and_repeats_arrive(news: News, stub: Stub) -> None:
    request = pb.ListArticlesRequest(page_size=4, end=_at(1_000))
    first = await stub.ListArticles(request)
    revised = replace(_articles()[0], revision=1, title="Apple corrected itself", received_ns=_ns(50))
    repeated = replace(_articles()[1], received_ns=_ns(51))
    for article in (revised, repeated, replace(_articles()[0], id="late", received_ns=_ns(60), story_id="late")):
        news.send(article)

    async def arrived() -> bool:
        return "late" in await _ids(stub)

    await eventually(arrived)
    request.page_token = first.next_page_token
    second = await stub.ListArticles(request)
    assert [article.id for article in [*first.articles, *second.articles]] == ["a5", "a4", "a3", "a2", "a1", "a0"]
    assert second.articles[-1].revision == 0
    assert not second.next_page_token
    now = await stub.ListArticles(pb.ListArticlesRequest())
    assert [(article.id, article.revision) for article in now.articles][:3] == [("late", 0), ("a0", 1), ("a5", 0)]
    assert [article.id for article in now.articles].count("a1") == 1
    assert (await stub.GetStory(pb.GetStoryRequest(id="a0", as_of=_at(49)))).story.title == TITLES[0][1]
    assert not (await stub.SearchArticles(pb.SearchArticlesRequest(query="corrected", as_of=_at(49)))).hits
    assert [hit.article.revision for hit in (await stub.SearchArticles(pb.SearchArticlesRequest(query="corrected"))).hits] == [1]


async def test_rebuilt_from_the_topics_it_answers_the_same_and_goes_on(news: News, stub: Stub) -> None:
    before = await stub.ListArticles(pb.ListArticlesRequest())
    done = await stub.RebuildViews(pb.RebuildViewsRequest())
    assert (done.articles, done.indexed, done.feeds) == (8, 8, 2)
    assert await stub.ListArticles(pb.ListArticlesRequest()) == before
    news.send(replace(_articles()[0], id="after", received_ns=_ns(70)))

    async def arrived() -> bool:
        return "after" in await _ids(stub)

    await eventually(arrived)
    assert news.process.ask("/readyz")[0] == 200
    assert news.process.metric("signalbox_news_unreadable_records_total") == 2.0


async def test_one_command_rebuilds(news: News, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGNALBOX_NEWS_ADDRESS", news.address)
    assert await asyncio.to_thread(rebuild.main) == 0
    assert "9 articles, 9 in the index, 2 feeds" in capsys.readouterr().out
    monkeypatch.setenv("SIGNALBOX_NEWS_ADDRESS", "127.0.0.1:1")
    assert await asyncio.to_thread(rebuild.main) == 1
    assert "UNAVAILABLE" in capsys.readouterr().err


async def test_pages_of_the_longest_articles_pass_through_the_edge_as_json(news: News, stub: Stub) -> None:
    """Each page ends where it must, and together they are all there is."""
    for number in range(300):
        news.producer.produce(ARTICLES.name, encode_article(_long(number)), f"long{number}@0", 0)
    assert news.producer.flush(10) == 0

    async def arrived() -> bool:
        return len(await _ids(stub, feeds=["gamma"], page_size=1)) > 0 and (await _ids(stub, feeds=["gamma"], page_size=1))[0] == "long299"

    await eventually(arrived)
    rest = EdgeRest(f"http://127.0.0.1:{news.edge_port}")
    for path, query, key in (("articles", ("feeds", "gamma"), "articles"), ("articles:search", ("query", "quark"), "hits")):
        found, token = [], ""
        while True:
            page = await asyncio.to_thread(rest.get, f"/v1/news/{path}", [query, ("page_size", "200"), ("page_token", token)])
            found += [each.get("article", each)["id"] for each in page[key]]
            token = page.get("next_page_token", "")
            if not token:
                break
        assert sorted(found) == sorted(f"long{number}" for number in range(300))
    story = await asyncio.to_thread(rest.get, "/v1/news/stories/long")
    assert len(story["story"]["articles"]) == 300


def _long(number: int) -> Article:
    title, summary = f"Quark {number} " + "<&> " * 120, "<quoted> & more " * 120
    return replace(_articles()[0], id=f"long{number}", feed="gamma", title=title, summary=summary, story_id="long", received_ns=_ns(1_000 + number), links=())


def _command(news: News, *arguments: str, code: int = 0) -> str:
    """`signalbox news` through the edge; its output."""
    env = {**os.environ, "SIGNALBOX_EDGE_PORT": str(news.edge_port), "COLUMNS": "300"}
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", "news", *arguments], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_the_command_line_shows_it_through_the_edge(news: News) -> None:
    assert TITLES[1][1] in _command(news, "list", "AAPL.XNAS", "--as-of", "2025-10-09T08:53:30Z")
    found = json.loads(_command(news, "list", "IBM.XNYS", "--feed", "beta", "--json"))
    assert [article["id"] for article in found["articles"]] == ["a5"]
    assert TITLES[3][1] in _command(news, "search", "weather")
    assert "Syntax Error" in _command(news, "search", "fed AND (", code=1)
    assert TITLES[1][1] in _command(news, "story", "a0")
    assert "not found" in _command(news, "story", "none", code=1)
    shown = _command(news, "feeds")
    assert "http-5xx: 503" in shown
    assert "failing" in shown
    assert "309 articles, 309 in the index, 2 feeds" in _command(news, "rebuild")


async def test_ends_in_order(news: News) -> None:
    """The last test of this module."""
    news.process.signal(signal.SIGTERM)
    assert news.process.process.wait(20) == 0
