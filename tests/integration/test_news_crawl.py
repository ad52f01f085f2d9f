"""The crawling worker as a process: jobs in, articles and feed states out, whatever dies in between."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition
from signalbox.news.v1 import news_service_pb2 as pb

from services.news.article_wire import decode_article, decode_feed_state
from services.news.domain import Article, FeedState
from services.runtime.job_kinds import NEWS_CRAWL
from services.runtime.job_queue import open_job_queue
from services.runtime.jobs import Job, JobState, NewJob
from services.runtime.kafka import Record, to_record
from services.runtime.kafka_admin import ensure_topics
from services.runtime.testing.waiting import eventually
from services.runtime.topics import ALL_TOPICS, ARTICLES, NEWS_FEEDS
from tests.integration.nasty_feed_server import NastyServer, nasty_process, nasty_server
from tests.ports import free_ports
from tests.processes import Process
from tests.servers import REPOSITORY, new_broker

PATIENCE_S = 60.0
#: 20 press releases and 40 filings.
RECORDED = 60


@dataclass
class Newsdesk:
    """A broker, a store for jobs, and workers on them."""

    home: Path
    bootstrap: str
    valkey: str
    workers: list[Process] = field(default_factory=list)

    def start(self, feeds: str, **settings: str) -> Process:
        """A worker with this file of feeds; ready when it returns."""
        path = self.home / f"feeds-{len(self.workers)}.yaml"
        path.write_text(feeds, encoding="utf-8")
        port = free_ports(1)[0]
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "REDIS_URL": self.valkey,
            "SIGNALBOX_NEWS_FEEDS": str(path),
            "SIGNALBOX_NEWS_WORKER_METRICS_PORT": str(port),
            "SIGNALBOX_NEWS_HOST_PAUSE_S": "0",
            **settings,
        }
        worker = Process(["services.news.worker"], self.home / "worker.log", port, environment)
        self.workers.append(worker)
        worker.wait_ready()
        return worker

    async def crawl(self, *feeds: str, force: bool = True) -> pb.CrawlResult:
        """One crawl, from its creation to its result."""
        job = await self.finish(await self.create(*feeds, force=force))
        assert job.state is JobState.SUCCEEDED, job
        assert job.result is not None
        return pb.CrawlResult.FromString(job.result)

    async def create(self, *feeds: str, force: bool = True) -> Job:
        """A new job."""
        async with open_job_queue(self.valkey) as queue:
            return await queue.create(NewJob(NEWS_CRAWL.name, pb.CrawlRequest(feeds=feeds, force=force)))

    async def finish(self, job: Job) -> Job:
        """The job as it ended."""
        async with open_job_queue(self.valkey) as queue:
            return await queue.wait(job.id, PATIENCE_S)

    def records(self, topic: str) -> list[Record]:
        """Everything in a topic."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "test", "enable.auto.commit": False})
        try:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
            consumer.assign([TopicPartition(topic, 0, 0)])
            found: list[Record] = []
            while not found or found[-1].offset < end - 1:
                if end == 0:
                    return []
                found += [to_record(message) for message in consumer.consume(500, 1.0)]
            return found
        finally:
            consumer.close()

    @property
    def articles(self) -> list[Article]:
        """What was published, in order."""
        return [decode_article(record.value) for record in self.records(ARTICLES.name)]

    def state(self, name: str) -> FeedState:
        """The last state of a feed."""
        return [decode_feed_state(record.value) for record in self.records(NEWS_FEEDS.name) if record.key == name.encode()][-1]


@pytest.fixture
def desk(tmp_path: Path, valkey: str) -> Iterator[Newsdesk]:
    with new_broker(tmp_path / "kafka") as broker:
        ensure_topics(broker.bootstrap, 1, ALL_TOPICS)
        newsdesk = Newsdesk(tmp_path, broker.bootstrap, valkey)
        try:
            yield newsdesk
        finally:
            for worker in newsdesk.workers:
                worker.end()
            print(newsdesk.workers[0].log[-5_000:] if newsdesk.workers else "")


@pytest.fixture
async def server() -> AsyncIterator[NastyServer]:
    async with nasty_server() as running:
        yield running


def recorded(each: int) -> str:
    """The recorded feeds that come with the service, so many items at a time."""
    folder = REPOSITORY / "services" / "news" / "recorded"
    files = {"fed": "fed_press_2026-04-24.xml", "edgar": "sec_edgar_8k_2026-04-30.xml"}
    entries = [f"  - {{name: recorded-{name}, adapter: recorded, file: {folder / file}, items_each: {each}, interval: 1s}}\n" for name, file in files.items()]
    return "feeds:\n" + "".join(entries)


async def test_crawls_go_on_where_the_killed_worker_stopped(desk: Newsdesk, server: NastyServer) -> None:
    dead = free_ports(1)[0]
    feeds = recorded(15) + f"  - {{name: live, url: {server.url('etag')}}}\n  - {{name: dead, url: 'http://127.0.0.1:{dead}/rss'}}\n"
    worker = desk.start(feeds)
    first = await desk.crawl()
    assert (first.feeds_read, first.feeds_failed, first.feeds_unchanged) == (3, 1, 0)
    assert (first.items, first.articles) == (40, 40)
    assert worker.metric("signalbox_news_articles_total", 'kind="new"') == 40
    assert worker.metric("signalbox_news_feeds_failing") == 1

    worker.kill()
    worker = desk.start(feeds)
    assert worker.metric("signalbox_news_known_articles") == 40
    second = await desk.crawl()
    assert (second.feeds_read, second.feeds_failed, second.feeds_unchanged, second.articles) == (2, 1, 1, 20)
    assert (await desk.crawl("recorded-fed", "recorded-edgar")).articles == 10
    articles = desk.articles
    assert len({article.key for article in articles}) == len(articles) == RECORDED + 10
    assert all(article.story_id and article.scorer and article.sentiment_label for article in articles)
    assert {article.feed for article in articles if article.is_recorded} == {"recorded-fed", "recorded-edgar"}
    assert {record.key for record in desk.records(ARTICLES.name)} == {article.key.encode() for article in articles}

    live, dead_state = desk.state("live"), desk.state("dead")
    assert (live.items, live.etag, live.error, live.failures) == (10, '"one"', "", 0)
    assert (dead_state.failures, dead_state.success_ns) == (2, 0)
    assert dead_state.error.startswith("unreachable: ")
    assert dead_state.failing_since_ns < dead_state.attempt_ns < dead_state.next_ns
    assert worker.terminate() == 0


async def test_a_crawl_whose_worker_dies_is_run_again_and_doubles_nothing(desk: Newsdesk, server: NastyServer) -> None:
    feeds = recorded(60) + f"  - {{name: slow, url: {server.url('slow')}}}\n"
    settings = {"SIGNALBOX_NEWS_FEED_TIMEOUT_S": "3", "SIGNALBOX_JOB_LOST_AFTER_S": "3"}
    worker = desk.start(feeds, **settings)
    job = await desk.create()
    await eventually(lambda: worker.metric("signalbox_news_articles_total") == RECORDED, PATIENCE_S)
    worker.kill()
    desk.start(feeds, **settings)
    ended = await desk.finish(job)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2)
    articles = desk.articles
    assert len({article.key for article in articles}) == len(articles) == RECORDED
    assert dict(desk.state("slow").refused) == {"deadline": 1}


async def test_two_workers_know_what_the_other_has_published(desk: Newsdesk, server: NastyServer) -> None:
    feeds = recorded(4) + f"  - {{name: live, url: {server.url('changing-ids')}}}\n"
    first, second = desk.start(feeds), desk.start(feeds)
    for _ in range(12):
        await desk.crawl()
    articles = desk.articles
    assert len({article.key for article in articles}) == len(articles)
    assert all(article.revision == 0 for article in articles)
    assert len(articles) == 20 + 40 + 10
    assert first.metric("signalbox_news_articles_total") + second.metric("signalbox_news_articles_total") == len(articles)


async def test_memory_stays_bounded_whatever_is_sent(desk: Newsdesk) -> None:
    plays = ("gzip-bomb", "endless", "fifty-megabytes", "fifty-megabytes-in-pieces", "xml-bomb", "external-entity", "deep", "long-header", "cut", "page")
    with nasty_process() as address:
        entries = "".join(f"  - {{name: {play}, url: '{address}/{play}'}}\n" for play in plays)
        worker = desk.start(f"feeds:\n{entries}")
        before = psutil.Process(worker.process.pid).memory_info().rss
        for _ in range(3):
            result = await desk.crawl()
        peak = peak_rss(worker.process.pid)
    assert result.feeds_failed == 8
    assert worker.metric("signalbox_news_refused_total", "too-large") == 3 * 4
    assert worker.metric("signalbox_news_refused_total", "entit") == 3 * 2
    assert peak - before < 100 << 20, f"{(peak - before) / 2**20:.0f} MiB over {before / 2**20:.0f} MiB"


def peak_rss(pid: int) -> int:
    """The most resident memory that a process has had, bytes."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def test_a_wrong_file_of_feeds_is_told_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "feeds.yaml"
    path.write_text("feeds: [{name: a, url: 'https://a.example', interval: soon}]", encoding="utf-8")
    environment = {"SIGNALBOX_NEWS_FEEDS": str(path), "PATH": ""}
    ended = subprocess.run([sys.executable, "-m", "services.news.worker"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "feeds.0.interval (a): expected a number and s, m, h or d, as in 15m, was 'soon'" in ended.stderr
