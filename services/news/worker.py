"""The worker that crawls: `python -m services.news.worker`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import cast

from google.protobuf.message import Message
from signalbox.news.v1 import news_service_pb2 as pb

from services.news.crawl import Crawl
from services.news.enrichment import ArticleEnricher
from services.news.feeds.config import load_feeds
from services.news.feeds.feed import Feed
from services.news.fetch.fetcher import Fetcher, open_session
from services.news.following import TopicFollower
from services.news.links import Linker
from services.news.newsroom import Newsroom
from services.news.worker_settings import NewsWorkerSettings
from services.runtime.clock import SystemClock
from services.runtime.errors import Unavailable
from services.runtime.job_kinds import NEWS_CRAWL
from services.runtime.job_queue import run_job_worker
from services.runtime.jobs import JobContext, JobHandler
from services.runtime.kafka import BrokerCheck, KafkaPublisher, make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.lifecycle import Lifecycle, run
from services.runtime.memory import register_memory_metrics
from services.runtime.settings import load_settings
from services.runtime.topics import ARTICLES, NEWS_FEEDS

#: The job is tried again when Kafka takes no records for this long; it has 300 s.
_DELIVERY_TIMEOUT_MS = 30_000


def main() -> None:
    """Reads the settings and the files that they name, then crawls when asked until told to stop."""
    settings = load_settings(NewsWorkerSettings)
    feeds, linker = load_feeds(settings.feeds_file), Linker.from_file(settings.aliases_file)

    async def work(lifecycle: Lifecycle) -> None:
        await serve(settings, feeds, linker, lifecycle)

    run("news-worker", settings, work)


async def serve(settings: NewsWorkerSettings, feeds: Sequence[Feed], linker: Linker, lifecycle: Lifecycle) -> None:
    """Learns what is known from the topics, then runs the jobs of news.crawl."""
    register_memory_metrics()
    clock, bootstrap = SystemClock(), settings.kafka_bootstrap_servers
    await asyncio.to_thread(ensure_topics, bootstrap, settings.partitions, (ARTICLES, NEWS_FEEDS))
    room = Newsroom(ArticleEnricher(), {feed.name for feed in feeds})
    follower = TopicFollower(bootstrap, room, clock, lifecycle.fail)
    lifecycle.ops.add_ready_check("topics", follower.reader.check_ready)
    lifecycle.ops.add_live_check("topics", follower.reader.check_alive)
    async with AsyncExitStack() as stack:
        producer = make_producer(bootstrap, delivery_timeout_ms=_DELIVERY_TIMEOUT_MS)
        publisher = KafkaPublisher(producer)
        stack.push_async_callback(publisher.close)
        lifecycle.ops.add_ready_check("kafka", BrokerCheck(producer, ARTICLES.name))
        await follower.start()
        stack.push_async_callback(follower.stop)
        session = await stack.enter_async_context(open_session(settings.contact, version("signalbox"), settings.limits))
        crawl = Crawl(feeds, room, source=Fetcher(session, settings.limits, clock), publisher=publisher, clock=clock, catch_up=follower.catch_up)
        await run_job_worker(settings, NEWS_CRAWL.service, [handler(crawl)], lifecycle)


def handler(crawl: Crawl) -> JobHandler:
    """The function of news.crawl, for the queue."""

    async def run_crawl(request: Message, context: JobContext) -> Message:
        return await crawl.run(cast("pb.CrawlRequest", request), context)

    return JobHandler(NEWS_CRAWL, run_crawl, retry_on=(Unavailable,))


if __name__ == "__main__":
    main()
